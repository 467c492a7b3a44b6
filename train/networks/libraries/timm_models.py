"""Classifiers of timm (PyTorch Image Models), with its weights or those of a file."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from ....errors import UnseeError, first_line
from ....extras import require
from ..checkpoints import Classifier
from ..metadata import InputSpec, Label
from .loaded import classifier_of, square, with_weights


def build(name: str, classes: int = 1000) -> nn.Module:
    """Build a classifier with random weights; `UnseeError` on an unknown name."""
    return _created(name, pretrained=False, num_classes=classes)


def load(name: str, weights: Path | None = None) -> Classifier:
    """Load a classifier; weights: of a file, by default timm's own, from the Hugging Face cache or the web."""
    full = f"timm:{name}"
    if weights:
        module = with_weights(lambda classes: build(name, classes), weights, full)
        return classifier_of(module, full, input_of(module, name), _labels(module), origin=weights.name)
    module = _created(name, pretrained=True)
    return classifier_of(module, full, input_of(module, name), _labels(module), origin=full)


def input_of(module: nn.Module, name: str) -> InputSpec:
    """Return the input in a classifier's own configuration."""
    config = _timm().data.resolve_model_data_config(module)
    _, height, width = config["input_size"]
    return InputSpec(square(name, height, width), mean=tuple(config["mean"]), std=tuple(config["std"]))


def _labels(module: Any) -> list[Label] | None:
    """Return ImageNet's classes in the order of a classifier; None where it was trained on others."""
    data = _timm().data
    subset = data.infer_imagenet_subset(module)
    if not subset:
        return None
    info = data.ImageNetInfo(subset)
    return [
        Label(info.index_to_description(index), info.index_to_label_name(index)) for index in range(info.num_classes())
    ]


def _created(name: str, **options: Any) -> nn.Module:
    timm = _timm()
    if "/" not in name and not timm.is_model(name):
        close = get_close_matches(name.partition(".")[0], timm.list_models(), 3)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UnseeError(f"timm has no classifier {name!r}{meant}")
    try:
        return timm.create_model(name, **options)
    except (OSError, RuntimeError) as error:  # no connection, no such weights
        raise UnseeError(
            f"timm:{name}: cannot be had ({first_line(error)}); with --weights FILE nothing is fetched"
        ) from None


def _timm() -> Any:
    try:
        return require("timm", "timm", "a classifier of timm")
    except RuntimeError as error:  # of torchvision, which it imports
        raise UnseeError(
            f"torchvision, which timm needs, does not fit the PyTorch that is installed ({error})"
        ) from None
