"""One bounded HTTP exchange, and what a client can find in it."""
