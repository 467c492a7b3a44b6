"""Images a second of the descent: eager or fused by Inductor, launched or captured, in every precision, by batch and T."""

import gc
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import UnseeError, first_line
from ...export.bundles.descent_config import DescentConfig
from ...export.parity.levels import relative_error
from ...export.parity.synthetic import synthetic_images
from ...export.runtime.memory import is_out_of_memory
from ..speed.rivals import load_contestant
from .scale import Deadline, Found, Scale
from .timing import seconds_of

PROBES = 4
"""Images whose gradients are compared with double precision."""


@dataclass(frozen=True)
class Variant:
    """One way to descend. fused: by PyTorch's compiler. captured: as one CUDA graph."""

    network: str
    precision: str
    batch: int
    iterations: int
    fused: bool
    captured: bool


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield a row for every variant that there is time for, the most telling first, and how many were left out."""
    left_out = 0
    for number, variant in enumerate(variants(scale)):
        if deadline.left <= 0:
            left_out += 1
            continue
        yield f"{number:03d}", {**asdict(variant), **_measured(variant, scale)}
    yield "left_out", left_out


def variants(scale: Scale) -> Iterator[Variant]:
    """Yield the ways, what is to be the default first."""
    precisions = ("fp16", "tf32", "fp32") if scale.on_gpu else ("fp32",)
    ways = [(True, True), (False, True), (True, False), (False, False)] if scale.on_gpu else [(False, False)]
    usual, most = scale.batches[0], scale.iterations[0]
    yielded = set()

    def once(variant: Variant) -> Iterator[Variant]:
        if variant not in yielded:
            yielded.add(variant)
            yield variant

    for network in scale.networks:
        for fused, captured in ways:
            yield from once(Variant(network, precisions[0], usual, most, fused, captured))
    for network in scale.networks:
        for precision in precisions:
            for iterations in scale.iterations:
                yield from once(Variant(network, precision, usual, iterations, *ways[0]))
    for network in scale.networks:
        for batch in scale.batches:
            yield from once(Variant(network, precisions[0], batch, most, *ways[0]))


def _measured(variant: Variant, scale: Scale) -> dict[str, Any]:
    try:
        return _speed_and_error(variant, scale)
    except Exception as error:
        if isinstance(error, UnseeError) or is_out_of_memory(error):
            return {"failed": f"{type(error).__name__}: {first_line(error)[:200]}"}
        raise
    finally:
        gc.collect()


def _speed_and_error(variant: Variant, scale: Scale) -> dict[str, Any]:
    import torch

    from ...export.graph.eager import eager_descender

    torch.manual_seed(0)
    classifier, config = load_contestant(variant.network), DescentConfig(iterations=variant.iterations)
    size = classifier.metadata.input.size
    images = np.tile(synthetic_images(size, PROBES), (-(-variant.batch // PROBES), 1, 1, 1))[: variant.batch]
    if scale.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    descender = eager_descender(classifier, config, scale.device, precision=variant.precision, compiled=variant.fused)
    descender.runner.captures = variant.captured  # pyright: ignore[reportAttributeAccessIssue]
    try:
        delta = descender.descend(images[:PROBES], 1).delta
        descender.descend(images)
        warm_up = time.perf_counter() - started
        seconds = seconds_of(lambda: descender.descend(images), scale.on_gpu, scale.rounds, warm_ups=0)
    finally:
        descender.close()
    exact = eager_descender(classifier, config, "cpu", precision="fp64").descend(images[:PROBES], 1).delta
    found = {
        "images_per_second": round(variant.batch / seconds, 1),
        "gradient_error": float(np.median(relative_error(delta, exact))),
        "warm_up_seconds": round(warm_up, 1),
    }
    if scale.on_gpu:
        found["gigabytes"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found
