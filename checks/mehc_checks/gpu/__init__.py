"""The parts of GpuNodesReady: its reasons, and what it judges of tiers, nodes, balloons and image caches."""
