"""Secrets of the installation's cloud, read as the platform reads them: one file for each cloud."""
