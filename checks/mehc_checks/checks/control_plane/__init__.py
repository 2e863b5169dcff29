"""ControlPlaneReady."""
