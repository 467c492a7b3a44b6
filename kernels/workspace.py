"""Memory and a stream of a CUDA device that batches share, so that once every shape has been seen nothing is allocated.

With a workspace current, what the kernels of this thread need comes out of it and their work goes to its stream; without
one, arrays are allocated as they are asked for and all work goes to the default stream.
"""

import math
import warnings
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import MissingExtraError, first_line
from ..extras import how_to_install

LEGACY_STREAM = 1  # CUDA's number for the default stream, where 0 would mean that none is named


@cache
def load_cuda() -> ModuleType:
    """Import numba.cuda; raises MissingExtraError where it is not installed."""
    try:
        from numba import cuda
    except ImportError as error:
        raise MissingExtraError(
            f"computing on a GPU needs numba-cuda ({first_line(error)}): {how_to_install('gpu')}"
        ) from error
    # A few images make a small grid, and nothing can be done about it.
    warnings.filterwarnings("ignore", message="Grid size .* will likely result in GPU under-utilization")
    return cuda


class Workspace:
    """Device memory and one stream for the batches of one thread.

    handle: a stream of another library, which has to keep it, as `torch.cuda.current_stream().cuda_stream`; None: a new
    one that does not wait for the default stream. allocations: arrays allocated so far. Buffers are kept by their size in
    bytes: batches of ever other shapes make it grow until `release`.
    """

    def __init__(self, handle: int | None = None) -> None:
        self.stream = _new_stream(self) if handle is None else load_cuda().external_stream(handle or LEGACY_STREAM)
        self.allocations = 0
        self._depth = 0
        self._taken: Counter[int] = Counter()
        self._buffers: dict[int, list[_Buffer]] = defaultdict(list)
        self._constants: dict[tuple, Any] = {}
        self._known: dict[tuple, tuple[Any, Any]] = {}

    @contextmanager
    def batch(self) -> Iterator["Workspace"]:
        """Make this the calling thread's workspace.

        The outermost `with` takes back all arrays of the batch before: from here on their memory is given out again.
        """
        if self._depth == 0:
            self._taken.clear()
            self._known.clear()
        self._depth += 1
        token = _CURRENT.set(self)
        try:
            yield self
        finally:
            _CURRENT.reset(token)
            self._depth -= 1

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array whose values are not set; nothing else is given its memory before the next batch."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size == 0:
            return load_cuda().device_array(shape, dtype, stream=self.stream)
        buffers, place = self._buffers[size], self._taken[size]
        if place == len(buffers):
            buffers.append(_Buffer(size, self.stream))
            self.allocations += 1
        self._taken[size] += 1
        return buffers[place].view(shape, dtype)

    def constant(self, array: np.ndarray) -> Any:
        """A copy of an array on the device, made when these values are first asked for and kept; not to be written to."""
        key = _content(array)
        if key not in self._constants:
            self._constants[key] = load_cuda().to_device(array, stream=self.stream)
            self.allocations += 1
        return self._constants[key]

    def once(self, compute: Callable[[Any], Any], array: Any) -> Any:
        """compute(array), which this batch has computed before where it was asked: for what waits for the device.

        The array must not be written to in between.
        """
        key = compute, id(array)  # the array is kept, so that no other has its id
        if key not in self._known:
            self._known[key] = array, compute(array)
        return self._known[key][1]

    def release(self) -> None:
        """Give all memory back to the device; arrays that are still held keep theirs."""
        self._taken.clear()
        self._known.clear()
        self._buffers.clear()
        self._constants.clear()

    def synchronize(self) -> None:
        """Wait until the device has done all work of the stream."""
        self.stream.synchronize()


class _Buffer:
    """Device memory of so many bytes, and the arrays it has been given out as: making one takes as long as a launch."""

    def __init__(self, size: int, stream: Any) -> None:
        self.stream = stream
        self.memory = load_cuda().device_array((size,), np.uint8, stream=stream)
        self.views: dict[tuple, Any] = {}

    def view(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        if (shape, dtype) not in self.views:
            self.views[shape, dtype] = self.memory.view(dtype).reshape(shape).bind(self.stream)
        return self.views[shape, dtype]


_CURRENT: ContextVar[Workspace | None] = ContextVar("workspace", default=None)


def current_workspace() -> Workspace | None:
    """The calling thread's workspace, None outside of any `batch`."""
    return _CURRENT.get()


def current_stream() -> Any:
    """The stream that the calling thread's work goes to: its workspace's, or 0, the default stream."""
    workspace = current_workspace()
    return 0 if workspace is None else workspace.stream


def constant(array: np.ndarray) -> Any:
    """A copy of an array on the device that is made once for a workspace, or a device where there is none."""
    workspace = current_workspace()
    if workspace is not None:
        return workspace.constant(array)
    return _constant(load_cuda().current_context().device.uuid, *_content(array))


def follow(first: Any, then: Any) -> None:
    """Have the stream `then` begin what it is given from now on after all that `first` has been given so far.

    The device waits, not the caller. 0 stands for the default stream.
    """
    if _number(first) != _number(then):
        event = load_cuda().event()
        event.record(first)
        event.wait(then)


def _content(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


@lru_cache(maxsize=256)
def _constant(device: str, dtype: str, shape: tuple[int, ...], content: bytes) -> Any:  # noqa: ARG001
    return load_cuda().to_device(np.frombuffer(content, dtype).reshape(shape))


def _number(stream: Any) -> int:
    """What two streams that are the same have in common."""
    return (int(stream) or LEGACY_STREAM) if hasattr(stream, "__int__") else id(stream)


def _new_stream(owner: Any) -> Any:
    """A stream that does not wait for the default stream, kept as long as its owner; numba itself only makes others."""
    from numba import config

    cuda = load_cuda()
    if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]
        return cuda.stream()
    driver: Any = import_module("cuda.bindings.driver")
    cuda.current_context()  # there has to be one
    error, stream = driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"CUDA makes no stream: {error.name}")
    weakref.finalize(owner, driver.cuStreamDestroy, stream)
    return cuda.external_stream(int(stream))
