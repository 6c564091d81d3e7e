"""A fictitious company, and a whole pilot run on it through the public doors."""
