"""What the quality benchmark compares: methods, their ablations, and peers; each maps batches of images."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..engine.cleanup.postprocess import finish
from ..engine.cleanup.presets import PRESETS
from ..engine.methods.image_methods import BASELINE_SIZE, IMAGE_METHODS
from ..engine.methods.models import open_descender, open_mapper
from ..errors import UnseeError
from ..export.bundles.bundle import is_bundle, read_bundle
from ..export.bundles.descent_config import DescentConfig
from ..export.bundles.onnx_files import external_files
from ..export.runtime.backends import BUNDLE_BACKENDS
from ..export.runtime.descender import Descender
from ..export.wrapping.network_files import is_network_file
from ..extras import require
from ..resizing import STRETCHED, Resizing
from ..train.networks.maps.mapper_names import map_checkpoint
from ..train.networks.metadata import MODEL_FILE, WEIGHTS_FILE, holds_file
from ..train.networks.model_names import PACKAGES, pretrained_directory
from .ablations import Variant
from .peers.peer_list import find_peer

STAGES = ("raw", "smoothed", "final")
FINAL = STAGES[-1]
NO_MODEL = "-"

GRADIENT = replace(
    PRESETS["reference"],
    name="gradient",
    descent=replace(PRESETS["reference"].descent, gradient="raw", gradient_floor=-np.inf, iterations=1, step=1.0),
)
"""Simonyan's map, one pass: the largest magnitude over channels of the gradient of the top class's logit (spec 5.1)."""


@dataclass(frozen=True)
class Opened:
    """Ready to map images.

    size: side of its grid in pixels. maps: from uint8 [B,S,S,3] to [B,S,S] in 0..1 by stage. resizing: how images come onto
    the grid.
    """

    size: int
    maps: Callable[[np.ndarray], dict[str, np.ndarray]]
    resizing: Resizing = STRETCHED


@dataclass(frozen=True)
class Contender:
    """Rows of one model with one method.

    model, path: of its model, the name and what was asked for. open: opens and warms up; takes a folder for files that it
    needs as long as it runs, and the size of batches. Raises
    `MissingExtraError` or `DeviceUnavailableError` where it cannot run.
    """

    model: str
    method: str
    stages: tuple[str, ...]
    open: Callable[[Path, int], Opened]
    path: str = ""

    @property
    def megabytes(self) -> float | None:
        """Size of the model's weights, None where there are none, or they are not in files of ours."""
        files = weight_files(self.path)
        return sum(file.stat().st_size for file in files) / 1e6 if files else None


def weight_files(model: str) -> list[Path]:
    """Return the files that hold the weights of a model: of a checkpoint, a bundle, or an ONNX file."""
    path = Path(model)
    if model and is_network_file(model):
        return [path, *(path.parent / name for name in external_files(path))]
    if model and is_bundle(model):
        graph = read_bundle(model).graph_path
        return [graph, *(graph.parent / name for name in external_files(graph))]
    directory = map_checkpoint(model) or (path if holds_file(model, MODEL_FILE) else pretrained_directory(model))
    if directory:
        return [directory / WEIGHTS_FILE]
    return [PACKAGES[model].find().path] if model in PACKAGES else []


def map_contender(model: str, method: str, device: str, backend: str) -> Contender:
    """Return a network that makes maps, by the method of its kind; its only map is called final."""
    return Contender(Path(model).name, method, (FINAL,), partial(_open_maps, model, device, backend), model)


def _open_maps(
    model: str,
    device: str,
    backend: str,
    workspace: Path,  # noqa: ARG001
    batch_size: int,
) -> Opened:
    mapper = open_mapper(model, device, backend)
    mapper.maps(_noise(batch_size, mapper.info.input_size))
    return Opened(mapper.info.input_size, lambda images: {FINAL: mapper.maps(images)}, mapper.info.resizing)


def image_contender(method: str) -> Contender:
    """Return a method that needs no model."""

    def opened(workspace: Path, batch_size: int) -> Opened:  # noqa: ARG001
        maps = IMAGE_METHODS[method]
        maps(_noise(1, BASELINE_SIZE))
        return Opened(BASELINE_SIZE, lambda images: {FINAL: maps(images)})

    return Contender(NO_MODEL, method, (FINAL,), opened)


def method_contender(model: str, method: str, variant: Variant, device: str, backend: str) -> Contender:
    """Return a model with a preset, or with a variant of it, which is called by its change."""
    variant = replace(variant, backend=variant.backend or backend)
    opening = partial(_open_method, model, variant, device)
    return Contender(Path(model).name, variant.label or method, STAGES, opening, model)


def _open_method(model: str, variant: Variant, device: str, workspace: Path, batch_size: int) -> Opened:
    descender = _open_descender(model, variant, device, workspace)
    _method_maps(descender, variant, _noise(batch_size, descender.info.input_size), iterations=1)
    return Opened(descender.info.input_size, partial(_method_maps, descender, variant))


def _method_maps(
    descender: Descender, variant: Variant, images: np.ndarray, iterations: int | None = None
) -> dict[str, np.ndarray]:
    delta = descender.descend(images, iterations).delta
    if variant.preset.name == GRADIENT.name:
        delta = np.abs(delta).max(1, keepdims=True).repeat(3, 1)
    maps = finish(delta, images, variant.preset.post)
    return {stage: getattr(maps, stage) for stage in STAGES}


def _open_descender(model: str, variant: Variant, device: str, workspace: Path) -> Descender:
    """Open it; a checkpoint in another precision is exported anew where the backend needs a bundle."""
    backend, descent = variant.backend or "auto", variant.preset.descent
    if variant.precision != "fp32" and is_bundle(model):
        raise UnseeError(f"{model} is a bundle, which has a precision already: ablate precision on a checkpoint")
    if backend == "tensorrt":
        require("tensorrt", "tensorrt", "backend tensorrt")  # before anything is exported for it
    if variant.precision == "fp32":
        return open_descender(model, descent, device, backend)
    from ..train.networks.model_names import load_classifier

    classifier = load_classifier(model)
    if backend in BUNDLE_BACKENDS:
        from ..export.graph.exportables import ClassifierStep
        from ..export.graph.exporter import write_network

        folder = Path(tempfile.mkdtemp(dir=workspace))
        bundle = write_network(ClassifierStep(classifier, descent, precision=variant.precision), folder)
        return Descender.of_bundle(bundle, descent, device, backend)
    from ..export.graph.eager import eager_descender

    compiled = backend == "torch-compile"
    return eager_descender(classifier, descent, device, precision=variant.precision, compiled=compiled)


def peer_contender(name: str, model: str, descent: DescentConfig, device: str) -> Contender:
    """Return a peer, which takes the descent's number of passes; `UnseeError` where there is none of this name.

    Its only map is called final: it is what it hands out.
    """
    needs = find_peer(name).needs_model
    opening = partial(_open_peer, name, model, descent, device)
    return Contender(Path(model).name if needs else NO_MODEL, name, (FINAL,), opening, model if needs else "")


def _open_peer(
    name: str,
    model: str,
    descent: DescentConfig,
    device: str,
    workspace: Path,  # noqa: ARG001
    batch_size: int,  # noqa: ARG001
) -> Opened:
    peer = find_peer(name)
    classifier, size = None, BASELINE_SIZE
    if peer.needs_model:
        from ..export.runtime.pytorch.torch_runner import torch_device
        from ..train.networks.model_names import load_classifier

        classifier, device = load_classifier(model), str(torch_device(device))
        size = classifier.metadata.input.size
    maps = peer.open(classifier, descent, device)
    maps(_noise(1, size))
    return Opened(size, lambda images: {FINAL: maps(images)})


def _noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
