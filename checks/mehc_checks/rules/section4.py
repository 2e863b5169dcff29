"""Section 4: autoscaling of gateway and endpoints."""
