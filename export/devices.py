"""Names of devices for the runtimes that are not PyTorch."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceUnavailableError


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
        """Return the device of auto, cpu, cuda or cuda:N; auto is CUDA where `has_cuda` and a driver is loaded."""
        if device == "auto":
            return cls("cuda" if has_cuda and has_nvidia_driver() else "cpu")
        kind, _, index = device.partition(":")
        if kind not in ("cpu", "cuda") or not (index.isdigit() or not index):
            raise DeviceUnavailableError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N")
        return cls(kind, int(index or 0))


def has_nvidia_driver() -> bool:
    """Say whether an NVIDIA driver is loaded on this machine."""
    return any(Path(path).exists() for path in ("/proc/driver/nvidia/version", "/dev/dxg"))
