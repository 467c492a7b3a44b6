"""Disjoint sets as arrays of parents: a set is named by its root, which is its own parent."""

import numpy as np

from .parallel import compiled


@compiled
def root_of(parents: np.ndarray, node: int) -> int:
    """Return the root of a node's set; the path to it is halved on the way."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node
