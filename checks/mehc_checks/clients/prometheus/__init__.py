"""The query API of Prometheus."""
