"""ConfigValid."""
