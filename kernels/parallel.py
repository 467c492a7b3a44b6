"""How every kernel is compiled and how a batch is spread over the cores.

Kernels are serial loops over a slice of the batch that release the GIL; the parallelism comes from a thread pool that
takes one slice per task. Numba's own parallel regions are not used: their default layer ends the process when two
Python threads enter it at once, and the others share OpenMP with torch.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from ..threads import usable_threads

# More slices than cores even out images that take longer; fewer, larger ones save dispatches.
SLICES_PER_THREAD = 4


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba, without the GIL, cached on disk where the disk can be written.

    Kernels that run on a CPU call compiled helpers of their own module only: a change in another module would not
    outdate their cache.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return numba.njit(nogil=True)(function)


def over_images(kernel: Callable[..., None], *arrays: np.ndarray, constants: tuple = ()) -> None:
    """Run `kernel(*slices, *constants)` over slices of the arrays' first axis, on all threads that may be used.

    Every image is computed by one call whatever the number of threads, so results do not depend on it. Safe to call
    from several threads at once, and after a fork.
    """
    count = len(arrays[0])
    threads = min(numba.config.NUMBA_NUM_THREADS, usable_threads())  # type: ignore[attr-defined]
    if count < 2 or threads < 2:
        kernel(*arrays, *constants)
        return
    bounds = np.linspace(0, count, min(count, threads * SLICES_PER_THREAD) + 1).astype(int).tolist()
    tasks = [
        _pool(os.getpid(), threads).submit(kernel, *(array[start:stop] for array in arrays), *constants)
        for start, stop in pairwise(bounds)
    ]
    for task in tasks:
        task.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """One pool a process: threads do not survive a fork, so the child makes its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="unsee-kernel")
