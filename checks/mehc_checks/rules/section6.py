"""Section 6: observability: tracing and logging."""
