"""Names of devices and backends, as users write them, and where the runner of each is."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec

from ...errors import UnseeError
from .driver import cuda_devices

TORCH_BACKENDS = ("torch", "torch-compile")
RUNNERS = {
    "onnxruntime": "onnxruntime_runner.OnnxRuntimeRunner",
    "tensorrt": "tensorrt.tensorrt_runner.TensorRtRunner",
    "ort-tensorrt": "onnxruntime_runner.OnnxRuntimeRunner",
    "aot": "pytorch.aot_runner.AotRunner",
}
"""Module and class of the runner of bundles, by backend: a new backend is a line here and a file beside this one."""
EXPORT_PACKAGES = {"torch": "export", "onnx": "export", "onnxscript": "export", "onnxruntime": "cpu"}
"""What exporting needs, and the extra that brings it."""
BUNDLE_BACKENDS = tuple(RUNNERS)
BACKENDS = ("auto", *TORCH_BACKENDS, *BUNDLE_BACKENDS)

DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,4})?")
OTHER_WORDS = {"gpu": "cuda", "nvidia": "cuda", "ort": "onnxruntime", "onnx": "onnxruntime", "trt": "tensorrt"}
"""What users write who mean one of ours."""
CLOSE = 0.7
"""How alike a word and the one that was meant are, at least."""


def can_export() -> bool:
    """Say whether what exporting needs is installed; nothing is imported."""
    return all(map(find_spec, EXPORT_PACKAGES))


def check_device(device: str) -> None:
    """Raise `UnseeError` on a word that names no device; whether the device is there is not asked."""
    if not DEVICE.fullmatch(device):
        meant = _meant(device, ("auto", "cpu", "cuda"))
        raise UnseeError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N{meant}")


def check_backend(backend: str) -> None:
    """Raise `UnseeError` on a word that names no backend; whether it is installed is not asked."""
    if backend not in BACKENDS:
        raise UnseeError(f"unknown backend {backend!r}: use one of {', '.join(BACKENDS)}{_meant(backend, BACKENDS)}")


def _meant(word: str, known: tuple[str, ...]) -> str:
    lower = word.lower()
    named = re.match("[a-z-]+", lower)
    close = [OTHER_WORDS.get(named.group() if named else "", ""), *get_close_matches(lower, known, 1, CLOSE)]
    likely = next((one for one in close if one in known), None)
    return f" (did you mean {likely}?)" if likely else ""


@dataclass(frozen=True)
class RuntimeDevice:
    """Where ONNX Runtime runs: cpu, or cuda with an index."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.is_cuda else "cpu"

    @property
    def is_cuda(self) -> bool:
        """Whether this is a CUDA device."""
        return self.kind == "cuda"

    @classmethod
    def parse(cls, device: str, has_cuda: bool) -> "RuntimeDevice":
        """Return the device of auto, cpu, cuda or cuda:N; auto is CUDA where `has_cuda` and there is a GPU."""
        if device == "auto":
            return cls("cuda" if has_cuda and cuda_devices() else "cpu")
        check_device(device)
        kind, _, index = device.partition(":")
        return cls(kind, int(index or 0))
