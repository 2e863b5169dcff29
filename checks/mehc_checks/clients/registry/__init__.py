"""Talking to an image registry as a node's container runtime does."""
