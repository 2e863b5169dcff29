"""The Kubernetes API: requests, lists, watches, and how the scheduler decides."""
