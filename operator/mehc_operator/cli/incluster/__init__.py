"""``mehc check --in-cluster``: the same check, run in the operator's pod, or else in a short-lived Job."""
