"""Asking other servers: bounded, each failure with a name. Knows nothing of model engine."""
