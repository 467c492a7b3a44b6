"""The contract of every runtime for networks that make or promote maps: a batch of images, and of maps, to maps."""

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UnseeError
from ..extras import require
from ..train.map_metadata import MapMetadata, PromoterOptions, is_map_checkpoint
from ..train.models import model_name
from .bundle_files import is_bundle
from .devices import BUNDLE_BACKENDS, TORCH_BACKENDS, check_backend, check_device
from .map_bundle import IMAGE, PRIOR, MapBundle, read_map_bundle
from .sessions import SessionInfo


class MapSession(ABC):
    """A promoter or an attentional network loaded on a device; built by `open_map_session`."""

    def __init__(self, model_id: str, metadata: MapMetadata, backend: str, device: str) -> None:
        self.info = SessionInfo(model_id, (), metadata.input.size, backend, device)
        self.metadata = metadata

    @property
    def takes_priors(self) -> bool:
        """Whether this is a promoter, which needs a map of every image."""
        return self.metadata.kind == "promoter"

    def maps(self, images: np.ndarray, priors: np.ndarray | None = None) -> np.ndarray:
        """Return the map of each image, float32 [B,S,S] in 0..1, whatever its batch mates.

        images: uint8 [B,S,S,3], RGB. priors: float32 [B,S,S] in 0..1, the maps that a promoter promotes. Raises
        `UnseeError` on wrong shapes, and on priors that are missing or not wanted.
        """
        size = self.info.input_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise UnseeError(f"images must be uint8 [B,{size},{size},3], got {images.dtype} {list(images.shape)}")
        if self.takes_priors != (priors is not None):
            raise UnseeError(
                f"{self.info.model_id} {'needs a map of every image' if priors is None else 'takes no maps'}"
            )
        if len(images) == 0:
            return np.zeros((0, size, size), np.float32)
        inputs = {IMAGE: np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)}
        if priors is not None:
            if priors.shape != images.shape[:3]:
                raise UnseeError(f"priors must be of shape {list(images.shape[:3])}, got {list(priors.shape)}")
            inputs[PRIOR] = np.ascontiguousarray(priors[:, None], np.float32)
        return self._maps(inputs)[:, 0]

    @abstractmethod
    def _maps(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return the maps, float32 [B,1,S,S], of a batch that is not empty, by the names of the graph's inputs."""


def open_map_session(
    model: str | Path, device: str = "auto", backend: str = "auto", iterations: int | None = None
) -> MapSession:
    """Open a session on a checkpoint or a bundle of a promoter or an attentional network.

    backend: auto is ONNX Runtime for a bundle and eager PyTorch for a checkpoint; one that runs bundles exports a
    checkpoint into the cache first (see `cached_map_bundle`). iterations: passes T of a promoter, the
    checkpoint's own where None; a bundle has them in its graph. Raises `DeviceUnavailableError` where the device or
    backend asked for cannot be used: there is no silent fallback; `UnseeError` on any other model.
    """
    model = model_name(model)
    check_device(device)
    check_backend(backend)
    if is_bundle(model):
        bundle = read_map_bundle(Path(model))
        if iterations is not None and with_iterations(bundle.metadata, iterations) != bundle.metadata:
            raise UnseeError(
                f"{model}: exported with another number of iterations: export the checkpoint with {iterations}"
            )
        return open_map_bundle(bundle, device, backend)
    if not is_map_checkpoint(model):
        raise UnseeError(f"{model} is neither the checkpoint nor a bundle of a promoter or an attentional network")
    if backend == "torch-compile":
        raise UnseeError(
            f"{model}: backend torch-compile runs descents only: use torch, or a backend that runs bundles"
        )
    require("torch", "train", "running a checkpoint")
    if backend in BUNDLE_BACKENDS:
        from .cache import cached_map_bundle

        return open_map_bundle(cached_map_bundle(model, iterations), device, backend)
    from .torch_map_session import TorchMapSession

    return TorchMapSession.opened(Path(model), device, iterations)


def open_map_bundle(
    bundle: MapBundle, device: str = "auto", backend: str = "auto", threads: int | None = None
) -> MapSession:
    """Open a session on a bundle that has been read; see `open_map_session`. threads: of the CPU, all where None."""
    check_backend(backend)
    if backend in TORCH_BACKENDS:
        raise UnseeError(f"{bundle.directory} is a bundle, which holds no PyTorch network: use its checkpoint")
    if backend == "tensorrt":
        from .tensorrt_map_session import TensorRtMapSession

        return TensorRtMapSession(bundle, device)
    from .onnxruntime_map_session import OnnxRuntimeMapSession

    runtime = "ort-tensorrt" if backend == "ort-tensorrt" else "onnxruntime"
    return OnnxRuntimeMapSession(bundle, device, threads, runtime)


def with_iterations(metadata: MapMetadata, iterations: int | None) -> MapMetadata:
    """Return a promoter's metadata with another number of passes T, the same where None."""
    if iterations is None:
        return metadata
    if not isinstance(metadata.options, PromoterOptions):
        raise UnseeError("iterations belong to a promoter, this is an attentional network")
    return replace(metadata, options=replace(metadata.options, iterations=iterations))
