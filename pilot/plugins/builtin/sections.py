"""Built-in sections."""
