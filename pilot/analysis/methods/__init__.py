"""The built-in analyses, one family a module: parts that answer from evidence what the functions one room up compute."""
