"""VllmImagePullable."""
