"""A Redis server: how it is reached, what it answers. Knows no model engine."""
