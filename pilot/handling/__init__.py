"""Handling channels, cases, touches and cost to serve."""
