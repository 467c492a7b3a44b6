"""Two-label segmentation of a region graph by random walks (Grady, PAMI 2006); weights as in scikit-image (spec 5.6)."""

import numpy as np

from ..errors import UnseeError

FLOOR = 1e-10


def walk_weights(color: np.ndarray, graph: np.ndarray, beta: float = 130.0) -> np.ndarray:
    """Weights exp(-beta |dI|^2 / (10 std(I) sqrt(channels))) + 1e-10 of the edges of a graph.

    color: float [n, C], in 0..1. graph: bool [n, n]. Returns float64 [n, n], 0 where there is no edge.
    """
    if not beta > 0:
        raise UnseeError(f"beta must be positive, got {beta}")
    color = np.asarray(color, np.float64)
    scale = beta / (10 * max(color.std(), FLOOR) * np.sqrt(color.shape[1]))
    squares = ((color[:, None] - color[None]) ** 2).sum(-1)
    return np.where(graph, np.exp(-scale * squares) + FLOOR, 0)


def walk_labels(weights: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Label n regions by R sets of seeds: weights [n, n], bool [R, n] twice -> bool [R, n], true for foreground.

    A region is foreground if a walk from it reaches a foreground seed first more often than not: one linear solve a run.
    A region with seeds of both kinds counts as background, as does a tie; without seeds of a kind the other one wins.
    """
    seeded = foreground | background
    laplacian = np.diag(weights.sum(1)) - weights + FLOOR * np.eye(len(weights))  # parts without seeds stay solvable
    system = np.where(seeded[:, :, None], np.eye(len(weights)), laplacian)
    known = (foreground & ~background).astype(np.float64)
    return np.linalg.solve(system, known[:, :, None])[:, :, 0] > 0.5
