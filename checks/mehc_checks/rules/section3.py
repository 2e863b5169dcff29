"""Section 3: GPU nodes, balloons, image cache and recommended hardware."""
