"""What the quality benchmark compares: methods and their ablations on a session, and peers; each maps batches of images."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..engine.methods import BASELINE_SIZE
from ..engine.postprocess import finish
from ..engine.presets import PRESETS
from ..errors import UnseeError
from ..export.bundle_files import is_bundle
from ..export.config import DescentConfig
from ..export.devices import BUNDLE_BACKENDS
from ..export.sessions import Session, open_bundle, open_session
from ..extras import require
from .ablations import Variant
from .peers.catalogue import find_peer

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
    """Ready to map images. size: side of its grid in pixels. maps: from uint8 [B,S,S,3] to [B,S,S] in 0..1 by stage."""

    size: int
    maps: Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Contender:
    """Rows of one model with one method.

    open: opens and warms up; takes a folder for files that it needs as long as it runs, and the size of batches. Raises
    `MissingExtraError` or `DeviceUnavailableError` where it cannot run.
    """

    model: str
    method: str
    stages: tuple[str, ...]
    open: Callable[[Path, int], Opened]


def method_contender(model: str, method: str, variant: Variant, device: str, backend: str) -> Contender:
    """Return a model with a preset, or with a variant of it, which is called by its change."""
    variant = replace(variant, backend=variant.backend or backend)
    return Contender(Path(model).name, variant.label or method, STAGES, partial(_open_method, model, variant, device))


def _open_method(model: str, variant: Variant, device: str, workspace: Path, batch_size: int) -> Opened:
    session = _open_session(model, variant, device, workspace)
    _method_maps(session, variant, _noise(batch_size, session.info.input_size), iterations=1)
    return Opened(session.info.input_size, partial(_method_maps, session, variant))


def _method_maps(
    session: Session, variant: Variant, images: np.ndarray, iterations: int | None = None
) -> dict[str, np.ndarray]:
    delta = session.descend(images, iterations).delta
    if variant.preset.name == GRADIENT.name:
        delta = np.abs(delta).max(1, keepdims=True).repeat(3, 1)
    maps = finish(delta, images, variant.preset.post)
    return {stage: getattr(maps, stage) for stage in STAGES}


def _open_session(model: str, variant: Variant, device: str, workspace: Path) -> Session:
    """Open a session; a checkpoint in another precision is exported anew where the backend needs a bundle."""
    backend, descent = variant.backend or "auto", variant.preset.descent
    if variant.precision != "fp32" and is_bundle(model):
        raise UnseeError(f"{model} is a bundle, which has a precision already: ablate precision on a checkpoint")
    if backend == "tensorrt":
        require("tensorrt", "tensorrt", "backend tensorrt")  # before anything is exported for it
    if variant.precision == "fp32":
        return open_session(model, descent, device, backend)
    if backend in BUNDLE_BACKENDS:
        from ..export.exporting import write_network
        from ..train.models import load_classifier

        folder = Path(tempfile.mkdtemp(dir=workspace))
        bundle = write_network(load_classifier(model), folder, descent, precision=variant.precision)
        return open_bundle(bundle, descent, device, backend)
    from ..export.torch_session import CompiledTorchSession, TorchSession
    from ..train.models import load_classifier

    kind = CompiledTorchSession if backend == "torch-compile" else TorchSession
    return kind(load_classifier(model), descent, device, precision=variant.precision)


def peer_contender(name: str, model: str, descent: DescentConfig, device: str) -> Contender:
    """Return a peer, which takes the descent's number of passes; `UnseeError` where there is none of this name.

    Its only map is called final: it is what it hands out.
    """
    label = Path(model).name if find_peer(name).needs_model else NO_MODEL
    return Contender(label, name, (FINAL,), partial(_open_peer, name, model, descent, device))


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
        from ..export.torch_session import torch_device
        from ..train.models import load_classifier

        classifier, device = load_classifier(model), str(torch_device(device))
        size = classifier.metadata.input.size
    maps = peer.open(classifier, descent, device)
    maps(_noise(1, size))
    return Opened(size, lambda images: {FINAL: maps(images)})


def _noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
