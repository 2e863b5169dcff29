"""Whether a pod fits on a node, as kube-scheduler's filters decide it; pure, and proved against the real one."""
