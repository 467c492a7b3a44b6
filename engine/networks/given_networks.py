"""Networks that a caller hands over as they are, rather than by name."""

import sys
import tempfile
import weakref
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from ...errors import UnseeError
from ...export.bundles.descent_config import DescentConfig
from ...export.runtime.backends import TORCH_BACKENDS
from ...export.runtime.descender import Descender
from ...export.runtime.precision import layers_of, network_precision
from ...export.wrapping.network_files import is_network_file
from ...train.networks.input_choice import OWN_INPUT, InputChoice, Triple, as_labels, labels_of
from ...train.networks.maps.network_input import NO_CHOICE, NetworkChoice
from ...train.networks.metadata import InputSpec, Label
from ...train.networks.model_names import load_classifier, model_name
from ..methods.methods import Opener
from ..methods.models import on_cuda, open_descender

if TYPE_CHECKING:
    from torch import nn

    from ...train.networks.checkpoints import Classifier

Labels: TypeAlias = Sequence[str | Label] | str | Path
"""Names of the classes, or a file of them (see `InputChoice`)."""


def is_module(model: object) -> "TypeGuard[nn.Module]":
    """Say whether this is a `torch.nn.Module`, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def as_classifier(
    model: "str | Path | nn.Module", input: InputSpec | None = None, labels: Labels | None = None,
    weights: str | Path | None = None,
) -> "Classifier":  # fmt: skip
    """Return what a caller names or hands over as a classifier; a module is copied, in float32 on the CPU.

    input, labels: replace its own, of a module torchvision's usual input and numbers. weights: of a name, a file. Raises
    `UnseeError` where there is no such model, or it does not make one row of logits of an image of that size.
    """
    if is_module(model):
        from ...train.networks.libraries.loaded import classifier_of

        if weights is not None:
            raise UnseeError("a module has its weights: load them into it")
        copied = deepcopy(model).cpu().float()
        classifier = classifier_of(copied, type(model).__name__, input or InputSpec())
    else:
        classifier = load_classifier(model_name(model), weights)
        if input is not None:
            from ...train.networks.libraries.loaded import classifier_of

            metadata = classifier.metadata
            found = classifier_of(classifier.module, metadata.network, input, classifier.labels)
            classifier = replace(classifier, metadata=replace(metadata, input=input), labels=found.labels)
    return classifier if labels is None else _labelled(classifier, labels)


def _labelled(classifier: "Classifier", labels: Labels) -> "Classifier":
    classes = classifier.metadata.classes
    found = labels_of(Path(labels), classes) if isinstance(labels, (str, Path)) else as_labels(labels, classes)
    return replace(classifier, labels=found, metadata=replace(classifier.metadata, names_classes=True))


@dataclass(frozen=True)
class GivenModel:
    """What a detector was given: the name of its model, what opens it and models that are named beside it, and its input.

    choice, network: of what the opener finds by name; what else was said of a classifier is in its opener.
    """

    name: str
    opener: Opener
    choice: InputChoice = OWN_INPUT
    network: NetworkChoice = NO_CHOICE

    @classmethod
    def of(
        cls,
        model: "str | Path | nn.Module",
        method: str,
        input: InputSpec | InputChoice | None,
        labels: Labels | None,
        network: NetworkChoice,
    ) -> "GivenModel":
        """Sort out what was given; see `opener_of`."""
        if isinstance(input, InputChoice):
            if is_module(model):
                return cls.of(
                    model, method, input.input_of(InputSpec()), input.labels if labels is None else labels, network
                )
            if labels is not None:
                raise UnseeError("an InputChoice has the labels in it: leave the others out")
            return cls(model_name(model), open_descender, input, network)
        if is_module(model) or not (method == "network" or is_network_file(model_name(model))):
            return cls(*opener_of(model, input, labels), network=network)
        if labels is not None:
            raise UnseeError("a map network has no classes: leave labels out")
        if input is None:
            return cls(model_name(model), open_descender, network=network)
        mean, std = (tuple(value / input.range for value in values) for values in (input.mean, input.std))
        said = replace(network, channel_order=input.channel_order, input_range=input.range)
        choice = InputChoice(input.size, cast(Triple, mean), cast(Triple, std))
        return cls(model_name(model), open_descender, choice, said)


def opener_of(
    model: "str | Path | nn.Module", input: InputSpec | None = None, labels: Labels | None = None
) -> tuple[str, Opener]:
    """Return the name of a model, and what opens it and models that are named beside it (see `open_descender`).

    input, labels: of a module; a model that is named has its own.
    """
    if not is_module(model) and input is None and labels is None:
        return model_name(model), open_descender
    classifier = as_classifier(model, input, labels)
    name = classifier.metadata.network if is_module(model) else model_name(model)

    def opened(asked: str, config: DescentConfig, device: str, backend: str, *own: Any, precision: str) -> Descender:
        if asked == name:
            return open_classifier(classifier, config, device, backend, precision)
        return open_descender(asked, config, device, backend, *own, precision=precision)

    return name, opened


def open_classifier(
    classifier: "Classifier", config: DescentConfig, device: str, backend: str, precision: str
) -> Descender:
    """Open a classifier that is in memory: in PyTorch, or exported into a temporary bundle for any other backend."""
    from ...export.graph.eager import eager_descender

    if backend in ("auto", *TORCH_BACKENDS):
        return eager_descender(classifier, config, device, precision=precision, compiled=backend == "torch-compile")
    from ...export.graph.exporter import export, require_tools
    from ...export.library.cache import step_to_run

    require_tools()
    folder = tempfile.TemporaryDirectory(prefix="unsee-")
    layers = layers_of(network_precision(precision, on_cuda(device, backend)))
    bundle = export(step_to_run(classifier, config, layers), Path(folder.name) / "bundle")
    descender = Descender.of_bundle(bundle, config, device, backend, precision=precision)
    weakref.finalize(descender, folder.cleanup)
    return descender
