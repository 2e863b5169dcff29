"""BrokerReachable."""
