"""`unsee bench descent`: every session side by side against the plain loop that a user of PyTorch would write.

Ceiling first. All contenders run in one process, one after the other in every round; a contender's ratio is the median
over rounds of plain time / its time, so that a noisy machine slows both sides of it. The last line is JSON.
"""

import copy
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ..errors import UnseeError
from ..export.bundle import Bundle
from ..export.config import DescentConfig
from ..export.parity import relative_error, synthetic_images
from ..extras import require
from .machine import machine

PLAIN = "plain eager loop"

Contender = Callable[[np.ndarray, int], np.ndarray]
"""Descends on images, uint8 [B,S,S,3], for so many iterations; returns the difference, float32 [B,3,S,S]."""


@dataclass(frozen=True)
class Speed:
    """Medians over rounds.

    images_per_second: finished images for the number of iterations asked for. ratio: plain loop's time / this time.
    gflops, share: operations a second, and their share of the ceiling in the same round. update_error: relative L2
    distance of an image's first update from the plain loop's, median over images. warm_up: seconds of opening and of
    the first batch.
    """

    name: str
    milliseconds_per_iteration: float
    images_per_second: float
    ratio: float
    gflops: float
    share: float
    update_error: float
    warm_up: float


def bench_descent(
    model: str,
    batch_size: int = 8,
    iterations: int = 3,
    rounds: int = 7,
    threads: int | None = None,
    device: str = "cpu",
    compiled: bool = True,
    console: Console | None = None,
) -> dict[str, Any]:
    """Time the sessions on a checkpoint, or on a network of `NETWORKS` with random weights, and return the result.

    threads: of the CPU, for every contender, all where None. device: cpu or cuda. compiled: take part with PyTorch's
    compiler, whose warm-up takes minutes.
    """
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        require(package, "export", "comparing sessions")
    import torch

    from ..export.onnxruntime_session import usable_threads
    from .roofline import MatrixProducts, iteration_flops

    console = console or Console(stderr=True)
    threads = threads or usable_threads()
    torch.set_num_threads(threads)
    classifier = _classifier(model)
    size = classifier.metadata.input.size
    flops = iteration_flops(copy.deepcopy(classifier.module), size) * batch_size
    images = synthetic_images(size, batch_size)
    console.print(
        f"{model}: batch {batch_size}, {iterations} iterations, {threads} threads, {flops / 1e9:.1f} GFLOP an iteration"
    )
    products = MatrixProducts(device, threads)
    products.rates()
    found = ", ".join(f"{rate:.0f} by {name}" for name, rate in products.rates().items())
    console.print(f"ceiling: GFLOP/s in matrix products of float32: {found}")
    with tempfile.TemporaryDirectory() as folder:
        contenders, warm_ups = _warm(_openers(classifier, Path(folder), device, threads, compiled), images, console)
        errors = _update_errors(contenders, images)
        seconds, ceilings = _rounds(contenders, products, images, iterations, rounds)
    speeds = [
        _speed(name, spent, seconds[PLAIN], ceilings, flops, batch_size, iterations, errors[name], warm_ups[name])
        for name, spent in seconds.items()
    ]
    _show(console, speeds)
    result = {
        "benchmark": "descent",
        "model": model,
        "network": classifier.metadata.network,
        "batch_size": batch_size,
        "iterations": iterations,
        "rounds": rounds,
        "threads": threads,
        "device": device,
        "gflop_per_image_and_iteration": flops / batch_size / 1e9,
        "ceiling_gflops": median(ceilings),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "sessions": [asdict(speed) for speed in speeds],
        "machine": machine(),
    }
    print(json.dumps(result))
    return result


def _classifier(model: str) -> Any:
    """Load a checkpoint; a network's name alone gets random weights, which are as fast as trained ones."""
    import torch

    from ..train.checkpoints import MODEL_FILE, Classifier
    from ..train.metadata import InputSpec, Metadata, numbered_labels
    from ..train.models import load_classifier
    from ..train.networks import NETWORKS, build_network

    if (Path(model) / MODEL_FILE).exists() or model not in NETWORKS:
        return load_classifier(model)
    torch.manual_seed(0)
    module = build_network(model, 1000).eval().requires_grad_(False)
    return Classifier(module, Metadata(model, InputSpec(), 1000), numbered_labels(1000))


def _openers(
    classifier: Any, folder: Path, device: str, threads: int, compiled: bool
) -> dict[str, Callable[[], Contender]]:
    """Return how to open every contender that can run here, the plain loop first."""
    from ..export.exporting import write_network
    from ..export.onnxruntime_session import OnnxRuntimeSession
    from ..export.torch_session import CompiledTorchSession, TorchSession

    config = DescentConfig()
    openers: dict[str, Callable[[], Contender]] = {
        PLAIN: lambda: _plain_loop(classifier, config, device),
        "torch": lambda: _delta(TorchSession(classifier, config, device)),
    }
    if compiled:
        openers["torch-compile"] = lambda: _delta(CompiledTorchSession(classifier, config, device))

    def bundle() -> Bundle:
        return write_network(classifier, folder, config)

    openers["onnxruntime"] = lambda: _delta(OnnxRuntimeSession(bundle(), config, device, threads))
    return openers


def _delta(session: Any) -> Contender:
    return lambda images, iterations: session.descend(images, iterations).delta


def _plain_loop(classifier: Any, config: DescentConfig, device: str) -> Contender:
    """Return the plain script's descent, of a batch."""
    import torch

    from .peers.plain import plain_descent, plain_network

    network = plain_network(classifier, device)

    def descend(images: np.ndarray, iterations: int) -> np.ndarray:
        start = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().contiguous()
        return plain_descent(network, start, config, iterations).cpu().numpy()

    return descend


def _warm(
    openers: dict[str, Callable[[], Contender]], images: np.ndarray, console: Console
) -> tuple[dict[str, Contender], dict[str, float]]:
    """Open every contender and run a first batch; one that cannot run here is named and left out."""
    contenders: dict[str, Contender] = {}
    warm_ups: dict[str, float] = {}
    for name, opener in openers.items():
        started = time.perf_counter()
        try:
            contender = opener()
            contender(images, 2)
        except UnseeError as error:
            console.print(f"{name} left out: {error}")
            continue
        contenders[name] = contender
        warm_ups[name] = time.perf_counter() - started
    return contenders, warm_ups


def _rounds(
    contenders: dict[str, Contender], products: Any, images: np.ndarray, iterations: int, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return seconds an iteration of every contender, and the ceiling in GFLOP/s, in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    ceilings: list[float] = []
    for _ in range(rounds):
        ceilings.append(max(products.rates().values()))
        for name, contender in contenders.items():
            seconds[name].append(_seconds(contender, images, iterations) / iterations)
    return seconds, ceilings


def _update_errors(contenders: dict[str, Contender], images: np.ndarray) -> dict[str, float]:
    expected = contenders[PLAIN](images, 1)
    return {name: float(relative_error(contender(images, 1), expected).max()) for name, contender in contenders.items()}


def _seconds(contender: Contender, images: np.ndarray, iterations: int) -> float:
    started = time.perf_counter()
    contender(images, iterations)
    return time.perf_counter() - started


def _speed(
    name: str,
    spent: list[float],
    plain: list[float],
    ceilings: list[float],
    flops: int,
    batch: int,
    iterations: int,
    error: float,
    warm_up: float,
) -> Speed:
    rates = [flops / seconds / 1e9 for seconds in spent]
    return Speed(
        name=name,
        milliseconds_per_iteration=median(spent) * 1e3,
        images_per_second=batch / median(spent) / iterations,
        ratio=median(other / own for other, own in zip(plain, spent, strict=True)),
        gflops=median(rates),
        share=median(rate / ceiling for rate, ceiling in zip(rates, ceilings, strict=True)),
        update_error=error,
        warm_up=warm_up,
    )


def _show(console: Console, speeds: list[Speed]) -> None:
    table = Table("session", "ms/it", "images/s", "ratio", "GFLOP/s", "ceiling", "error", "warm s", box=None)
    for speed in speeds:
        table.add_row(
            speed.name,
            f"{speed.milliseconds_per_iteration:.1f}",
            f"{speed.images_per_second:.2f}",
            f"{speed.ratio:.2f}",
            f"{speed.gflops:.0f}",
            f"{speed.share:.0%}",
            f"{speed.update_error:.1e}",
            f"{speed.warm_up:.1f}",
        )
    console.print(table)
