"""Those that take part in the descent's benchmark: every session that can run here, and the plain loop."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..export.bundle import Bundle
from ..export.config import DescentConfig
from ..extras import require

if TYPE_CHECKING:
    from ..train.checkpoints import Classifier

PLAIN = "plain eager loop"

Descender = Callable[[np.ndarray, int], np.ndarray]
"""Descends on images, uint8 [B,S,S,3], for so many iterations; returns the difference, float32 [B,3,S,S]."""

GPU_BACKENDS = ("tensorrt", "ort-tensorrt")


def prepare(threads: int | None) -> int:
    """Check that everything is installed, and give PyTorch so many threads, all where None; return their number."""
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(package, "export", "comparing sessions")
    import torch

    from ..threads import usable_threads

    threads = threads or usable_threads()
    torch.set_num_threads(threads)
    return threads


def load_contestant(model: str) -> "Classifier":
    """Load a checkpoint; a network's name alone gets random weights, which are as fast as trained ones."""
    import torch

    from ..train.checkpoints import MODEL_FILE, Classifier
    from ..train.metadata import InputSpec, Metadata, numbered_labels
    from ..train.models import load_classifier
    from ..train.networks import NETWORKS, build_network

    if (Path(model) / MODEL_FILE).exists() or model not in NETWORKS:
        return load_classifier(model)
    torch.manual_seed(0)
    module = build_network(model, 1000).eval().requires_grad_(False)
    return Classifier(module, Metadata(model, InputSpec(), 1000), numbered_labels(1000))


def exported(classifier: "Classifier", folder: Path) -> Bundle:
    """Write the step of a classifier in the preset `reference` to a folder."""
    from ..export.exporting import write_network

    return write_network(classifier, folder, DescentConfig())


def openers(
    classifier: "Classifier", bundle: Bundle, device: str, threads: int, compiled: bool
) -> dict[str, Callable[[], Descender]]:
    """Return how to open everyone that may run here, the plain loop first. compiled: with PyTorch's compiler."""
    from ..export.sessions import open_bundle
    from ..export.torch_session import CompiledTorchSession, TorchSession

    config = DescentConfig()
    found: dict[str, Callable[[], Descender]] = {
        PLAIN: lambda: _plain_loop(classifier, config, device),
        "torch": lambda: _delta(TorchSession(classifier, config, device)),
    }
    if compiled:
        found["torch-compile"] = lambda: _delta(CompiledTorchSession(classifier, config, device))
    for backend in ("onnxruntime", *(GPU_BACKENDS if device != "cpu" else ())):
        found[backend] = lambda backend=backend: _delta(open_bundle(bundle, config, device, backend, threads))
    return found


def _delta(session: Any) -> Descender:
    return lambda images, iterations: session.descend(images, iterations).delta


def _plain_loop(classifier: "Classifier", config: DescentConfig, device: str) -> Descender:
    """Return the plain script's descent, of a batch."""
    import torch

    from .peers.plain import plain_descent, plain_network

    network = plain_network(classifier, device)

    def descend(images: np.ndarray, iterations: int) -> np.ndarray:
        start = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().contiguous()
        return plain_descent(network, start, config, iterations).cpu().numpy()

    return descend
