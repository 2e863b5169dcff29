"""ObjectStoreReachable."""
