"""What ``mehc bundle`` puts into one archive: recorded, scrubbed, collected, written, each by a module of its own."""
