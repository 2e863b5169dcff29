"""Section 7: security and compliance."""
