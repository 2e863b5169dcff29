"""PrometheusQueryable."""
