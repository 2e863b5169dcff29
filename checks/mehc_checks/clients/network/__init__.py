"""Reaching a server step by step, so that each way of not reaching it has its own reason."""
