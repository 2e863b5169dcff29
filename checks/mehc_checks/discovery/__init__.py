"""What is installed, read from the cluster itself: the Helm release, the live configuration, the gateway."""
