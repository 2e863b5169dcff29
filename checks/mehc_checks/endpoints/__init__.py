"""Why endpoints are not ready: pure functions of what Kubernetes and the platform's record say."""
