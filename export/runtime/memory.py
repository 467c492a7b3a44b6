"""Memory of devices: telling in the words of every runtime that it has run out, and CUDA's for TensorRT."""

import errno
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import DeviceUnavailableError
from ...extras import require

WORDS = re.compile(
    r"out of memory|out_of_memory|outofmemory|insufficient memory|not enough memory|bad[_ ]alloc(ation)?\b"
    r"|failed to allocate\b.*\b(memory|bytes|buffer)|(can't|cannot|unable to) allocate|could not be allocated"
    r"|smaller than requested bytes|bfcarena|cudaErrorMemoryAllocation|\w+_alloc_failed"
    r"|(cudnn|cublas)_status_not_initialized",
    re.IGNORECASE,
)
"""ONNX Runtime's arena and its providers, C++ and Python, PyTorch, the CUDA runtime and driver, TensorRT, cuDNN and cuBLAS
(which say that they are not initialized where no memory is left for their own handles)."""
RUNTIMES = ("onnxruntime", "torch", "numba", "cuda", "tensorrt")
"""Packages with classes of errors of their own."""
OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation."""


class OutOfMemoryError(DeviceUnavailableError):
    """A device has no memory for a batch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of any runtime means that a smaller batch may fit."""
    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    of_a_runtime = isinstance(error, RuntimeError) or type(error).__module__.split(".")[0] in RUNTIMES
    return of_a_runtime and bool(WORDS.search(str(error)) or type(error).__name__ == "OutOfMemoryError")


class CudaStream:
    """One stream of one device. Addresses are integers; memory is held until `free`, or the end of the process."""

    def __init__(self, device: int) -> None:
        self.runtime: Any = require("cuda.bindings.runtime", "tensorrt", "backend tensorrt")
        self._call("cudaSetDevice", device)
        flags = self.runtime.cudaStreamNonBlocking  # nothing waits for what others do on the default stream
        self.handle: int = int(self._call("cudaStreamCreateWithFlags", flags))
        self.device_name = self._call("cudaGetDeviceProperties", device).name.decode()
        self.sizes: dict[int, int] = {}
        self.graphs: list[Any] = []

    def allocate(self, size: int) -> int:
        """Return the address of so many new bytes."""
        address = int(self._call("cudaMalloc", size))
        self.sizes[address] = size
        return address

    def free(self) -> None:
        """Give back all memory, and the graphs that were captured on it."""
        while self.graphs:
            self._call("cudaGraphExecDestroy", self.graphs.pop())
        while self.sizes:
            address, _ = self.sizes.popitem()
            self._call("cudaFree", address)

    def close(self) -> None:
        """Give everything back; may be called again."""
        self.free()
        if self.handle:
            self._call("cudaStreamDestroy", self.handle)
            self.handle = 0

    def upload(self, value: np.ndarray, address: int) -> None:
        """Copy a contiguous array to the device."""
        self._copy(address, value.ctypes.data, value.nbytes, "cudaMemcpyHostToDevice")

    def uploaded(self, value: np.ndarray) -> int:
        """Return the address of a copy of an array."""
        address = self.allocate(value.nbytes)
        self.upload(value, address)
        return address

    def download(self, address: int, like: np.ndarray) -> np.ndarray:
        """Return what lies at an address as an array of the shape and type of `like`."""
        value = np.empty_like(like)
        self._copy(value.ctypes.data, address, value.nbytes, "cudaMemcpyDeviceToHost")
        return value

    def saved(self, address: int) -> np.ndarray:
        """Return the bytes of an allocation."""
        return self.download(address, np.empty(self.sizes[address], np.uint8))

    def restore(self, saved: np.ndarray, address: int) -> None:
        """Put back what `saved` returned."""
        self.upload(saved, address)

    def captured(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Capture what a function enqueues as a CUDA graph; return what launches it and waits for it.

        The stream is usable again when the function fails.
        """
        self._call(
            "cudaStreamBeginCapture", self.handle, self.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )
        try:
            enqueue()
        except BaseException:
            self.runtime.cudaStreamEndCapture(self.handle)  # whatever it says of what was left half captured
            raise
        captured = self._call("cudaStreamEndCapture", self.handle)
        graph = self._call("cudaGraphInstantiate", captured, 0)
        self.graphs.append(graph)
        self._call("cudaGraphDestroy", captured)

        def launch() -> None:
            self._call("cudaGraphLaunch", graph, self.handle)
            self._call("cudaStreamSynchronize", self.handle)

        return launch

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        self._call("cudaMemcpyAsync", target, source, size, getattr(self.runtime.cudaMemcpyKind, kind), self.handle)
        self._call("cudaStreamSynchronize", self.handle)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the CUDA runtime; its first result is an error code, the second, if any, the value."""
        code, *values = getattr(self.runtime, name)(*arguments)
        if int(code) != 0:
            _, text = self.runtime.cudaGetErrorString(code)
            kind = OutOfMemoryError if int(code) == OUT_OF_MEMORY else DeviceUnavailableError
            raise kind(f"CUDA: {name} failed: {text.decode()}")
        return values[0] if values else None
