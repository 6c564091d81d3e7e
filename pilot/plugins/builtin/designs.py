"""Built-in designs."""
