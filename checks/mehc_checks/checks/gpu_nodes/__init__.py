"""GpuNodesReady."""
