"""The checks, one file each; ``mehc_checks.check.catalogue`` finds them."""
