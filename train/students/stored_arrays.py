"""Arrays in files that are larger than memory may be."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ...errors import OutputError


def new_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """Create a .npy file of zeros, memory-mapped, whose room on the disk is taken at once.

    Writing to a mapped file on a full disk would end the process. Raises `OutputError` where the room is not there.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        raise OutputError(f"{path}: no room for {size / 1e9:.2f} GB ({error.strerror})") from None
    return array
