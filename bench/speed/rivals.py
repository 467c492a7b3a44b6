"""Those that take part in the descent's benchmark: every runner that can run here, and the plain loop."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...export.bundles.bundle import Bundle
from ...export.bundles.descent_config import DescentConfig
from ...export.bundles.descent_contents import DescentContents
from ...export.runtime.descender import Descender
from ...extras import require

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier

PLAIN = "plain eager loop"

Loop = Callable[[np.ndarray, int], np.ndarray]
"""Descends on images, uint8 [B,S,S,3], for so many iterations; returns the difference, float32 [B,3,S,S]."""

GPU_BACKENDS = ("tensorrt", "ort-tensorrt")


def prepare(threads: int | None) -> int:
    """Check that everything is installed, and give PyTorch so many threads, all where None; return their number."""
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(package, "export", "comparing runners")
    import torch

    from ...threads import usable_threads

    threads = threads or usable_threads()
    torch.set_num_threads(threads)
    return threads


def load_contestant(model: str) -> "Classifier":
    """Load a checkpoint; a network's name alone gets random weights, which are as fast as trained ones."""
    import torch

    from ...train.networks.checkpoints import MODEL_FILE, Classifier
    from ...train.networks.metadata import InputSpec, Metadata, numbered_labels
    from ...train.networks.model_names import load_classifier
    from ...train.networks.zoo import NETWORKS, build_network

    if (Path(model) / MODEL_FILE).exists() or model not in NETWORKS:
        return load_classifier(model)
    torch.manual_seed(0)
    module = build_network(model, 1000).eval().requires_grad_(False)
    return Classifier(module, Metadata(model, InputSpec(), 1000), numbered_labels(1000))


def exported(classifier: "Classifier", folder: Path) -> Bundle[DescentContents]:
    """Write the step of a classifier in the preset `reference` to a folder."""
    from ...export.graph.exportables import ClassifierStep
    from ...export.graph.exporter import write_network

    return write_network(ClassifierStep(classifier, DescentConfig()), folder)


def openers(
    classifier: "Classifier", bundle: Bundle[DescentContents], device: str, threads: int, compiled: bool
) -> dict[str, Callable[[], Loop]]:
    """Return how to open everyone that may run here, the plain loop first. compiled: with PyTorch's compiler."""
    from ...export.graph.eager import eager_descender

    config = DescentConfig()
    found: dict[str, Callable[[], Loop]] = {
        PLAIN: lambda: _plain_loop(classifier, config, device),
        "torch": lambda: _delta(eager_descender(classifier, config, device)),
    }
    if compiled:
        found["torch-compile"] = lambda: _delta(eager_descender(classifier, config, device, compiled=True))
    for backend in ("onnxruntime", *(GPU_BACKENDS if device != "cpu" else ())):
        found[backend] = lambda backend=backend: _delta(Descender.of_bundle(bundle, config, device, backend, threads))
    return found


def _delta(descender: Descender) -> Loop:
    return lambda images, iterations: descender.descend(images, iterations).delta


def _plain_loop(classifier: "Classifier", config: DescentConfig, device: str) -> Loop:
    """Return the plain script's descent, of a batch."""
    import torch

    from ..peers.plain import plain_descent, plain_network

    network = plain_network(classifier, device)

    def descend(images: np.ndarray, iterations: int) -> np.ndarray:
        start = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().contiguous()
        return plain_descent(network, start, config, iterations).cpu().numpy()

    return descend
