"""EndpointsReady."""
