"""Arrays and launches on a CUDA device, without importing CUDA before it is needed.

A kernel is a plain function that names `cuda` without importing it; `launch` compiles it on first use. All work goes to
the default stream.
"""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import MissingExtraError
from .parallel import compiled

cuda: Any = None  # bound by launch: a CPU needs no CUDA

THREADS = 128  # per block


def is_cuda(array: Any) -> bool:
    """Whether the array lies on a CUDA device: numba's, or anything with __cuda_array_interface__ (torch, CuPy)."""
    return hasattr(array, "__cuda_array_interface__") or hasattr(array, "__cuda_ndarray__")


@cache
def load_cuda() -> ModuleType:
    """Import numba.cuda; raises MissingExtraError where it is not installed."""
    try:
        from numba import cuda
    except ImportError as error:
        raise MissingExtraError("numba-cuda", "gpu", "computing on a GPU") from error
    return cuda


def on_device(name: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> Any:
    """View an array that lies on a CUDA device as numba's, without a copy; None in the shape fits any length.

    Raises ValueError for another dtype or shape: nothing is converted on the device.
    """
    cuda = load_cuda()
    viewed = array if hasattr(array, "__cuda_ndarray__") else cuda.as_cuda_array(array)
    fits = len(viewed.shape) == len(shape) and all(
        wanted in (None, got) for got, wanted in zip(viewed.shape, shape, strict=True)
    )
    if viewed.dtype != dtype or not fits:
        wanted = "[" + ", ".join("*" if length is None else str(length) for length in shape) + "]"
        raise ValueError(f"{name} must be {np.dtype(dtype)} {wanted}, got {viewed.dtype} {list(viewed.shape)}")
    return viewed


def empty(shape: tuple[int, ...], dtype: type) -> Any:
    """A new device array whose values are not set."""
    return load_cuda().device_array(shape, dtype)


def filled(shape: tuple[int, ...], dtype: type, value: float) -> Any:
    """A new device array of one value."""
    array = empty(shape, dtype)
    launch(_fill_kernel, array.size, array.reshape(array.size), value)
    return array


def to_device(array: np.ndarray) -> Any:
    """A copy of a numpy array on the device."""
    return load_cuda().to_device(array)


def handed_back(result: Any, source: Any) -> Any:
    """The result as a torch tensor where the source was one, without a copy; else numba's device array."""
    if type(source).__module__.partition(".")[0] != "torch":
        return result
    import torch

    return torch.as_tensor(result, device=source.device)


def launch(kernel: Callable[..., None], size: int, *arguments: Any) -> None:
    """Run a kernel on at least `size` threads; it compares its own index with the size."""
    if size > 0:
        _compiled_kernel(kernel)[(size + THREADS - 1) // THREADS, THREADS](*arguments)


def launch_blocks(kernel: Callable[..., None], blocks: int, *arguments: Any) -> None:
    """Run a kernel on so many blocks of THREADS threads."""
    if blocks > 0:
        _compiled_kernel(kernel)[blocks, THREADS](*arguments)


@cache
def _compiled_kernel(kernel: Callable[..., None]) -> Any:
    cuda = load_cuda()
    kernel.__globals__["cuda"] = cuda  # not imported there, so that a CPU needs no CUDA
    return cuda.jit(kernel)


def _fill_kernel(array: Any, value: float) -> None:
    index = cuda.grid(1)
    if index < len(array):
        array[index] = value


@compiled
def pixel_of(index: int, height: int, width: int) -> tuple[int, int, int]:
    """Image, row and column of the index-th pixel of a batch."""
    return index // (height * width), index // width % height, index % width
