"""From a module of somebody else's to a classifier: its class count, its weights, its labels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import UnseeError
from ..checkpoints import Classifier, matched_weights, read_weights
from ..logits import count_classes
from ..metadata import InputSpec, Label, Metadata, numbered_labels

USUAL_CLASSES = 1000
Build = Callable[[int], nn.Module]
"""Makes a network with random weights for so many classes."""


def classifier_of(
    module: nn.Module, name: str, spec: InputSpec, labels: Sequence[Label] | None = None, **provenance: Any
) -> Classifier:
    """Return a module as a classifier; its classes are counted in one forward pass.

    name: what `Metadata.network` keeps. labels: numbers stand for them where there are none, or as many as do not fit.
    """
    module = module.eval().requires_grad_(False)
    classes = count_classes(module, spec.size, name)
    fitting = tuple(labels) if labels and len(labels) == classes else numbered_labels(classes)
    return Classifier(module, Metadata(name, spec, classes, provenance), fitting)


def with_weights(build: Build, path: Path, name: str) -> nn.Module:
    """Return a network with the weights of a file; its number of classes is read off them.

    Raises `UnseeError` naming every missing or unexpected tensor and every wrong shape.
    """
    tensors = read_weights(path)
    with torch.device("meta"):
        usual = build(USUAL_CLASSES).state_dict()
    head = next((one for one, tensor in reversed(usual.items()) if _is_head(tensor)), None)
    found = tensors.get(head) if head else None
    module = build(USUAL_CLASSES if found is None or not found.ndim else int(found.shape[0]))
    module.load_state_dict(matched_weights(tensors, module.state_dict(), name))
    return module


def _is_head(tensor: Tensor) -> bool:
    return tensor.ndim > 1 and tensor.shape[0] == USUAL_CLASSES


def square(name: str, height: int, width: int) -> int:
    """Return the side of a square input; `UnseeError` where it is none."""
    if height != width:
        raise UnseeError(f"{name} takes images of {height} x {width}; inputs here are square")
    return int(height)
