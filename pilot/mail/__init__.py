"""Outbox, transports and the hand-over of messages."""
