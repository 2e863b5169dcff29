"""Section 5: networking: Istio, the gateway's Service, and KEDA's way to Redis."""
