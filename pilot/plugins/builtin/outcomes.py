"""Built-in outcomes."""
