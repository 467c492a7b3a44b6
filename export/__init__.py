"""The descent step, its graph, and the runners of it."""
