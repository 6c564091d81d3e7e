"""Every part the product ships, registered through the same hooks as a stranger's."""
