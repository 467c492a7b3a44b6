"""The contract of every runtime: a session takes a batch of images and descends on it (design section 2)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UnseeError
from ..extras import require
from ..train.map_metadata import is_map_checkpoint
from ..train.metadata import Label
from ..train.models import model_name
from .bundle import Bundle, read_bundle
from .bundle_files import is_bundle
from .config import DescentConfig
from .devices import BUNDLE_BACKENDS, TORCH_BACKENDS, check_backend, check_device

STATE = ("image", "reference", "target")
"""The inputs of the step that an iteration changes; its outputs are called next_image and so on."""


@dataclass(frozen=True)
class Descent:
    """What a descent leaves behind.

    delta: float32 [B,3,S,S], X(0) - X(T) in grey levels, RGB. logits: float32 [B,N] of the original images.
    targets: int64 [B], the class that was unseen.
    """

    delta: np.ndarray
    logits: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class State:
    """Where a descent is: image float32 [B,3,S,S], RGB; reference float32 [B,N]; targets int64 [B] (see `build_step`)."""

    image: np.ndarray
    reference: np.ndarray
    targets: np.ndarray

    @classmethod
    def empty(cls, batch: int, size: int, classes: int) -> "State":
        """Return a state of zeros."""
        image = np.zeros((batch, 3, size, size), np.float32)
        return cls(image, np.zeros((batch, classes), np.float32), np.zeros(batch, np.int64))

    def named(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names of the step's inputs."""
        return dict(zip(STATE, (self.image, self.reference, self.targets), strict=True))

    def first(self, count: int) -> "State":
        """Return the first images."""
        return State(self.image[:count], self.reference[:count], self.targets[:count])

    def split(self, parts: int) -> list["State"]:
        """Return so many parts of nearly equal size, fewer where there are not as many images."""
        parts = min(parts, len(self.image))
        pieces = (np.array_split(value, parts) for value in (self.image, self.reference, self.targets))
        return [State(*piece) for piece in zip(*pieces, strict=True)]

    @classmethod
    def joined(cls, parts: list["State"]) -> "State":
        """Return the batch of which `parts` are the parts."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate(values) for values in zip(*(part.named().values() for part in parts), strict=True)))

    def padded(self, batch: int) -> "State":
        """Return a larger batch that repeats this one's images."""
        index = np.arange(batch) % len(self.image)
        return State(self.image[index], self.reference[index], self.targets[index])


@dataclass(frozen=True)
class SessionInfo:
    """What runs where: the model's identity and labels, the side of its input in pixels, the backend and device in use."""

    model_id: str
    labels: tuple[Label, ...]
    input_size: int
    backend: str
    device: str


class Session(ABC):
    """A classifier loaded on a device, ready to descend on batches; built by `open_session`."""

    def __init__(self, info: SessionInfo, config: DescentConfig) -> None:
        self.info = info
        self.config = config

    def descend(self, images: np.ndarray, iterations: int | None = None, targets: np.ndarray | None = None) -> Descent:
        """Descend on images, uint8 [B,S,S,3] RGB, each on its own whatever its batch mates.

        iterations: number T of passes, the configuration's where None. targets: int64 [B], the class to unsee in each
        image; -1, or None for all, is the top-1 of the first pass. Raises `UnseeError` on wrong shapes or classes.
        """
        size, classes = self.info.input_size, len(self.info.labels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise UnseeError(f"images must be uint8 [B,{size},{size},3], got {images.dtype} {list(images.shape)}")
        if targets is None:
            targets = np.full(len(images), -1, np.int64)
        targets = np.asarray(targets, np.int64)
        if targets.shape != (len(images),) or ((targets < -1) | (targets >= classes)).any():
            raise UnseeError(f"targets must be {len(images)} classes below {classes}, or -1 for the top-1")
        iterations = self.config.iterations if iterations is None else iterations
        if iterations < 1:
            raise UnseeError(f"iterations must be at least 1, got {iterations}")
        if len(images) == 0:
            return Descent(np.zeros((0, 3, size, size), np.float32), np.zeros((0, classes), np.float32), targets)
        return self._descend(images, iterations, targets)

    @abstractmethod
    def _descend(self, images: np.ndarray, iterations: int, targets: np.ndarray) -> Descent:
        """Run the loop on checked, non-empty input."""


class SteppingSession(Session):
    """A session that can start at any state of a descent, as parity checks do."""

    def _descend(self, images: np.ndarray, iterations: int, targets: np.ndarray) -> Descent:
        start = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        reference = np.zeros((len(images), len(self.info.labels)), np.float32)
        end = self.advance(State(start, reference, targets), iterations)
        return Descent(start - end.image, end.reference, end.targets)

    @abstractmethod
    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """Run iterations `first`, `first` + 1, ... on a batch that is not empty; the whole loop stays on the device."""


def open_session(
    model: str | Path, config: DescentConfig, device: str = "auto", backend: str = "auto", weights: str | None = None
) -> Session:
    """Open a session on a bundle's directory, or on a checkpoint (see `load_classifier`).

    backend: auto is ONNX Runtime for a bundle and eager PyTorch for a checkpoint; `Session.info` says what was chosen. A
    backend that runs bundles exports a checkpoint into the cache first (see `cached_bundle`).
    Raises `DeviceUnavailableError` where the device or backend asked for cannot be used: there is no silent fallback;
    `UnseeError` on other words, and where a bundle's graph was exported with other constants than those of `config`.
    """
    model = model_name(model)
    check_device(device)
    check_backend(backend)
    if is_bundle(model):
        return open_bundle(read_bundle(Path(model)), config, device, backend)
    if is_map_checkpoint(model):
        raise UnseeError(f"{model} holds no classifier: use --method attentional, or --promote for a promoter")
    require("torch", "train", "running a classifier checkpoint")
    if backend in BUNDLE_BACKENDS:
        from .cache import cached_bundle

        return open_bundle(cached_bundle(model, config, weights), config, device, backend)
    from ..train.models import load_classifier
    from .torch_session import CompiledTorchSession, TorchSession

    kind = CompiledTorchSession if backend == "torch-compile" else TorchSession
    return kind(load_classifier(model, weights), config, device)


def open_bundle(
    bundle: Bundle, config: DescentConfig, device: str = "auto", backend: str = "auto", threads: int | None = None
) -> SteppingSession:
    """Open a session on a bundle that has been read; see `open_session`. threads: of the CPU, all where None."""
    check_backend(backend)
    if backend in TORCH_BACKENDS:
        raise UnseeError(f"{bundle.directory} is a bundle, which holds no PyTorch network: use its checkpoint")
    if backend == "tensorrt":
        from .tensorrt_session import TensorRtSession

        return TensorRtSession(bundle, config, device)
    from .onnxruntime_session import OnnxRuntimeSession

    return OnnxRuntimeSession(
        bundle, config, device, threads, "ort-tensorrt" if backend == "ort-tensorrt" else "onnxruntime"
    )
