"""Section 8: replicas, resources, database, image repositories and the rest."""
