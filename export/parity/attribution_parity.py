"""Measuring how well a gradient or a class activation map agrees with eager PyTorch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import UnseeError
from ..bundles.attribution_contents import AttributionContents
from ..runtime.attributor import Attribution, Attributor
from .levels import relative_error
from .probes import Shape, StoredProbe
from .report import LARGEST_EXCESS, Check, Parity, Speed

LARGEST_ERROR = 1e-4
"""Median relative L2 error over the images where PyTorch's own is not more than half of it."""
VALUES, LOGITS = "relative L2 error of the {}", "relative L2 error of the logits"


@dataclass(frozen=True)
class AttributionProbe(StoredProbe):
    """Images and what eager PyTorch made of them in double precision.

    images: uint8 [B,S,S,3]. targets: int64 [B]. logits: float32 [B,N]. values: float32 [B,C,H,W], a gradient, or a map with
    C = 1. values_error, logits_error: PyTorch's own relative errors in float32.
    """

    arrays: ClassVar[Mapping[str, tuple[str, Shape]]] = {
        "images": ("uint8", ("B", "S", "S", 3)),
        "targets": ("int64", ("B",)),
        "logits": ("float32", ("B", "N")),
        "values": ("float32", ("B", "C", "H", "W")),
    }
    images: np.ndarray
    targets: np.ndarray
    logits: np.ndarray
    values: np.ndarray
    values_error: float
    logits_error: float
    images_per_second: float


def sizes_of(contents: AttributionContents) -> dict[str, int]:
    """Return what the letters of a probe's shapes stand for."""
    gradient = contents.kind == "gradient"
    height, width = contents.map_size
    return {"S": contents.input.size, "N": len(contents.labels), "C": 3 if gradient else 1, "H": height, "W": width}


def make_attribution_probe(eager: Attributor, exact: Attributor, images: np.ndarray) -> AttributionProbe:
    """Run eager PyTorch, in float32 and in double precision, on images, uint8 [B,S,S,3]."""
    targets = eager.attribute(images).targets
    found, seconds = _timed(eager, images, targets)
    expected = exact.attribute(images, targets)
    values = _planes(expected.values)
    if np.median(np.abs(values).max((1, 2, 3))) == 0:
        raise UnseeError(f"the {eager.contents.kind} of most probe images is zero: there is nothing to compare")
    return AttributionProbe(
        images=images,
        targets=targets,
        logits=expected.logits,
        values=values,
        values_error=_error(_planes(found.values), values),
        logits_error=_error(found.logits, expected.logits),
        images_per_second=len(images) / seconds,
    )


def measure_attribution(probe: AttributionProbe, attributor: Attributor) -> Parity:
    """Compare an attributor with a probe: median relative L2 errors of the values and of the logits."""
    attributor.attribute(probe.images[:1], probe.targets[:1])
    found, seconds = _timed(attributor, probe.images, probe.targets)
    pairs = (
        (VALUES.format(attributor.contents.kind), _planes(found.values), probe.values, probe.values_error),
        (LOGITS, found.logits, probe.logits, probe.logits_error),
    )
    checks = tuple(
        Check(name, _error(actual, expected), max(LARGEST_ERROR, LARGEST_EXCESS * own))
        for name, actual, expected, own in pairs
    )
    info = attributor.info
    speed = Speed(len(probe.images) / seconds, probe.images_per_second, info.backend, info.device)
    return Parity(checks, len(probe.images), speed)


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    error = relative_error(actual, expected)
    return float(np.median(np.where(np.isfinite(error), error, np.inf)))


def _planes(values: np.ndarray) -> np.ndarray:
    """Return maps [B,h,w] as [B,1,h,w], and gradients as they are."""
    return values[:, None] if values.ndim == 3 else values


def _timed(attributor: Attributor, images: np.ndarray, targets: np.ndarray) -> tuple[Attribution, float]:
    started = time.perf_counter()
    found = attributor.attribute(images, targets)
    return found, time.perf_counter() - started
