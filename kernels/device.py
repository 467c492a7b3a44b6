"""Arrays and launches on a CUDA device, without importing CUDA before it is needed.

A kernel is a plain function that names `cuda` without importing it; `launch` compiles it on first use. Memory and the
stream are those of the calling thread's `Workspace`, where one is current.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .parallel import compiled
from .workspace import LEGACY_STREAM, current_stream, current_workspace, follow, load_cuda

cuda: Any = None  # bound by launch: a CPU needs no CUDA

THREADS = 128  # per block


def is_cuda(array: Any) -> bool:
    """Whether the array lies on a CUDA device: numba's, or anything with __cuda_array_interface__ (torch, CuPy)."""
    return hasattr(array, "__cuda_array_interface__") or hasattr(array, "__cuda_ndarray__")


def on_device(name: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> Any:
    """View an array that lies on a CUDA device as numba's, without a copy; None in the shape fits any length.

    Work that is launched from here on waits for the stream that the array comes from: the one it names, torch's current
    one for its tensors. Raises ValueError for another dtype or shape: nothing is converted on the device.
    """
    found = viewed(array)
    fits = len(found.shape) == len(shape) and all(
        wanted in (None, got) for got, wanted in zip(found.shape, shape, strict=True)
    )
    if found.dtype != dtype or not fits:
        wanted = "[" + ", ".join("*" if length is None else str(length) for length in shape) + "]"
        raise ValueError(f"{name} must be {np.dtype(dtype)} {wanted}, got {found.dtype} {list(found.shape)}")
    return found


def viewed(array: Any) -> Any:
    """View an array that lies on a CUDA device as numba's, whatever its shape and type; waits as `on_device` does."""
    found = array if hasattr(array, "__cuda_ndarray__") else load_cuda().as_cuda_array(array, sync=False)
    follow(_torch_stream(array) if _is_torch(array) else found.stream, current_stream())
    return found


def dtype_of(array: Any) -> Any:
    """The numpy dtype of a device array, which torch's own `dtype` is not."""
    interface = getattr(array, "__cuda_array_interface__", None)
    return np.dtype(interface["typestr"]) if interface else array.dtype


def empty(shape: tuple[int, ...], dtype: type) -> Any:
    """A new device array whose values are not set."""
    workspace = current_workspace()
    return load_cuda().device_array(shape, dtype) if workspace is None else workspace.empty(shape, dtype)


def filled(shape: tuple[int, ...], dtype: type, value: float) -> Any:
    """A new device array of one value."""
    array = empty(shape, dtype)
    launch(_fill_kernel, array.size, array.reshape(array.size), value)
    return array


def to_device(array: np.ndarray) -> Any:
    """A copy of a numpy array on the device."""
    if current_workspace() is None:
        return load_cuda().to_device(array)
    copy = empty(array.shape, array.dtype.type)
    copy.copy_to_device(np.ascontiguousarray(array), stream=current_stream())
    return copy


def to_host(array: Any) -> np.ndarray:
    """A copy of a device array in memory; waits for the work that was launched before."""
    stream = current_stream()
    copy = array.copy_to_host(stream=stream)
    if stream:
        stream.synchronize()
    return copy


def handed_back(result: Any, source: Any) -> Any:
    """The result as a torch tensor where the source was one, without a copy; else numba's device array.

    What torch is given from here on waits for the result.
    """
    if not _is_torch(source):
        return result
    import torch

    follow(current_stream(), _torch_stream(source))
    return torch.as_tensor(result, device=source.device)


def _is_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def _torch_stream(tensor: Any) -> Any:
    """Torch's current stream on a tensor's device: its tensors do not name theirs."""
    import torch

    return load_cuda().external_stream(torch.cuda.current_stream(tensor.device).cuda_stream or LEGACY_STREAM)


def launch(kernel: Callable[..., None], size: int, *arguments: Any) -> None:
    """Run a kernel on at least `size` threads; it compares its own index with the size."""
    if size >= 2**32:
        raise ValueError(f"a batch of {size} elements is too large for one launch: take fewer images at a time")
    launch_blocks(kernel, (size + THREADS - 1) // THREADS, *arguments)


def launch_blocks(kernel: Callable[..., None], blocks: int, *arguments: Any) -> None:
    """Run a kernel on so many blocks of THREADS threads."""
    launch_grid(kernel, (blocks,), (THREADS,), *arguments)


def launch_grid(kernel: Callable[..., None], grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
    """Run a kernel on a grid of blocks (in x, y, z) of so many threads (in x, y, z); on none where a length is 0."""
    if all(grid):
        _jitted(kernel)[grid, block, current_stream()](*arguments)


@cache
def _jitted(kernel: Callable[..., None]) -> Any:
    cuda = load_cuda()
    kernel.__globals__["cuda"] = cuda  # not imported there, so that a CPU needs no CUDA
    return cuda.jit(kernel)


def _fill_kernel(array: Any, value: float) -> None:
    index = cuda.grid(1)
    if index < len(array):
        array[index] = value


@compiled
def row_of(index: int | np.int64, width: int) -> tuple[np.int64, np.int64]:
    """Row and column of the index-th element of rows of `width`; below 2^32, where dividing is several times as fast."""
    element, length = np.uint32(index), np.uint32(width)
    return np.int64(element // length), np.int64(element % length)


@compiled
def pixel_of(index: int, height: int, width: int) -> tuple[np.int64, np.int64, np.int64]:
    """Image, row and column of the index-th pixel of a batch; see `row_of`."""
    line, column = row_of(index, width)
    image, row = row_of(line, height)
    return image, row, column
