"""Reductions on a CUDA device by one block an image: each thread keeps a partial result in shared memory, then all of
them are folded in the order of the threads. A sum so depends neither on the rest of the batch nor on chance.
"""

from typing import Any

import numpy as np

from .parallel import compiled


def flat(images: Any) -> Any:
    """View contiguous device arrays [B, H, W] as [B, H * W]: an index that needs no division."""
    return images.reshape(images.shape[0], images.shape[1] * images.shape[2])


@compiled
def smallest(partial: np.ndarray, threads: int) -> float:
    """The smallest of the first `threads` values, at least one."""
    found = partial[0]
    for thread in range(1, threads):
        found = partial[thread] if partial[thread] < found else found
    return found


@compiled
def largest(partial: np.ndarray, threads: int) -> float:
    """The largest of the first `threads` values, at least one."""
    found = partial[0]
    for thread in range(1, threads):
        found = partial[thread] if partial[thread] > found else found
    return found


@compiled
def total(partial: np.ndarray, threads: int) -> float:
    """The sum of the first `threads` values, at least one."""
    found = partial[0]
    for thread in range(1, threads):
        found += partial[thread]
    return found
