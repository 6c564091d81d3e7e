"""Segments, who is in them, and who crosses from one to another."""
