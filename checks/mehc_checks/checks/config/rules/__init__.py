"""Rules over the configuration: what the values alone, or with named facts of the cluster, prove to be wrong."""
