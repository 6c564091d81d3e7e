"""Hook specifications, the plugin manager and everything the product ships as plugins."""
