"""Small classifiers as checkpoints, for the tests of export and of the sessions."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from unsee.export.bundles.bundle import Bundle
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.bundles.descent_contents import DescentContents
from unsee.export.graph.exportables import ClassifierStep
from unsee.export.graph.exporter import export
from unsee.export.parity.descent_parity import Finish, raw_map
from unsee.train.networks.checkpoints import Classifier, save_checkpoint
from unsee.train.networks.metadata import InputSpec, Metadata, numbered_labels
from unsee.train.networks.model_names import load_classifier
from unsee.train.networks.zoo import build_network

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def export_classifier(
    model: str,
    directory: Path,
    config: DescentConfig,
    preset: dict[str, Any] | None = None,
    probes: np.ndarray | None = None,
    finish: Finish = raw_map,
) -> Bundle[DescentContents]:
    """Export a classifier by its name with no more than a descent's constants."""
    return export(ClassifierStep(load_classifier(model), config, preset, finish=finish), directory, model, probes)


def classifier(name: str, classes: int = 10, size: int = 67) -> Classifier:
    """Return a network with random weights, scaled so that activations neither vanish nor explode, in eval mode.

    A layer of one channel keeps its own start: that of UnseeSmall's attention, which may not be closed everywhere.
    """
    torch.manual_seed(0)
    module = build_network(name, classes).eval().requires_grad_(False)
    for layer in module.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)) and len(layer.weight) > 1:
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.running_mean is not None:
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)  # pyright: ignore[reportArgumentType]
    spec = InputSpec(size=size, channel_order="BGR", range=255.0, mean=(104, 117, 123), std=(60, 60, 60))
    return Classifier(module, Metadata(name, spec, classes, {}), numbered_labels(classes))


def checkpoint(directory: Path, name: str, classes: int = 10, size: int = 67) -> Path:
    """Write a checkpoint of `classifier` and return its directory."""
    save_checkpoint(directory, classifier(name, classes, size))
    return directory


def images(count: int, size: int = 67, seed: int = 0) -> np.ndarray:
    """Return random images, uint8 [count,size,size,3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
