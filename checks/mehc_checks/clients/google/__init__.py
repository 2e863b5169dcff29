"""Asking Google Cloud, with the identity of this process."""
