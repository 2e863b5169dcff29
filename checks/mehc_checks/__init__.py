"""What model engine's health check knows: discovery, probes, judgements, reports.

Everything here runs in the operator and from a terminal alike, so nothing here
knows of kopf or of the custom resource.
"""
