"""Azure, asked by the process's own identity."""
