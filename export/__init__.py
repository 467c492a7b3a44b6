"""The descent step, its graph, and the sessions that run it."""
