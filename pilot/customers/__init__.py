"""The customer base: imports, order store, profile and segments."""
