"""Why a pod, ReplicaSet, Job or Deployment is not ready. Pure functions of objects that were read."""
