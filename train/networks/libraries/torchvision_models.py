"""Classifiers of torchvision, with the weights that it publishes or those of a file."""

from pathlib import Path
from typing import Any

from torch import nn

from ....errors import UnseeError
from ....extras import require
from ..checkpoints import Classifier
from ..metadata import InputSpec, Label
from .loaded import classifier_of, square, with_weights

INCEPTIONS = ("googlenet", "inception_v3")
"""Those that are drawn from a truncated normal distribution, slowly, unless they are told not to."""


def names() -> list[str]:
    """Return the names of all classifiers."""
    return _models().list_models(module=_models())


def build(name: str, classes: int = 1000) -> nn.Module:
    """Build a classifier with random weights; `UnseeError` on an unknown name."""
    _check(name)
    options = {"init_weights": False} if name in INCEPTIONS else {}
    return _models().get_model(name, weights=None, num_classes=classes, **options)


def load(name: str, weights: Path | None = None) -> Classifier:
    """Load a classifier; weights: of a file, by default the newest that are published, from torch.hub's cache or the web."""
    _check(name)
    entry = _models().get_model_weights(name).DEFAULT
    labels = [Label(label) for label in entry.meta["categories"]]
    full = f"torchvision:{name}"
    if weights:
        return classifier_of(
            with_weights(lambda classes: build(name, classes), weights, full), full, _input(entry), labels,
            origin=weights.name,
        )  # fmt: skip
    try:
        module = _models().get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:  # no connection, or another file than the published one
        raise UnseeError(f"{entry.url}: cannot be had ({error}); fetch it elsewhere and give --weights FILE") from None
    return classifier_of(module, full, _input(entry), labels, origin=str(entry))


def _input(entry: Any) -> InputSpec:
    """Return the input of published weights: the crop of the preprocessing that comes with them."""
    preset = entry.transforms()
    side = preset.crop_size[0] if isinstance(preset.crop_size, (list, tuple)) else preset.crop_size
    height, width = (side, preset.crop_size[-1]) if isinstance(preset.crop_size, (list, tuple)) else (side, side)
    return InputSpec(square(str(entry), height, width), mean=tuple(preset.mean), std=tuple(preset.std))


def _check(name: str) -> None:
    known = names()
    if name not in known:
        raise UnseeError(f"torchvision has no classifier {name!r}; it has {', '.join(known)}")


def _models() -> Any:
    try:
        return require("torchvision", "torchvision", "a classifier of torchvision").models
    except RuntimeError as error:  # built for another PyTorch: its own operators are not there
        raise UnseeError(f"torchvision does not fit the PyTorch that is installed ({error})") from None
