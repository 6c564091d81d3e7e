"""Built-in analyses."""
