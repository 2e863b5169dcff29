"""How model engine itself derives addresses, names and revisions from its configuration.

Pure functions that repeat the platform's rules exactly, its surprises included.
"""
