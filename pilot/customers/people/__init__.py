"""The customers one by one: list, story, gaps in what is known, and the desk that fills them."""
