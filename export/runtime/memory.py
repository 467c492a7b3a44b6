"""Telling that memory has run out from any other error, in the words of every runtime."""

import errno
import re

from ...errors import DeviceUnavailableError

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
