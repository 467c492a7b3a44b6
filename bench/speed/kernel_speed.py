"""`unsee bench kernels`: the kernels against Pillow, scikit-image, numpy and PySODMetrics, in one process, round by round.

Each round times ours and then the peer on the same input; the ratio of a round compares neighbours in time, and the
median over rounds stands for the machine. The last line printed is JSON.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ...errors import MissingExtraError
from ...extras import require
from ...formats import image_files
from ...kernels.color import rgb_to_lab
from ...kernels.contrast import low_level_map
from ...kernels.device import load_cuda
from ...kernels.pooling import paint, superpixel_mean, superpixel_statistics
from ...kernels.resampling import resized
from ...kernels.slic import slic, slic_lab
from ...resizing import FILTERS
from ...terminal import stdout
from ...threads import cores
from ..peers.scikit_image import finished_map, superpixels
from ..peers.scoring import scored_by_peer, scoring_peer
from ..scoring.metrics import DEFAULT_METRICS, MetricSums, score_pair
from ..scoring.protocols import find_protocol
from .cuda_kernels import cuda_speeds
from .machine import machine

SEGMENTS, COMPACTNESS = 100, 10.0
PAIR_SIZE = (300, 400)  # rows and columns of the maps that metrics are timed on: the usual photograph of a test set
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


@dataclass(frozen=True)
class Comparison:
    """Milliseconds an image of ours and of the peer, and peer / ours: medians over rounds; goal: the ratio aimed at.

    cpu_ratio compares seconds of CPU, over all threads: what is left of the ratio on one core, or a busy machine.
    """

    name: str
    peer: str
    milliseconds: float
    peer_milliseconds: float
    ratio: float
    cpu_ratio: float
    goal: float


def bench_kernels(
    images: str | Path | None = None,
    batch_size: int = 32,
    size: int = 224,
    rounds: int = 5,
    console: Console | None = None,
) -> dict[str, Any]:
    """Compare speeds, print a table and one JSON line, and return what the line says.

    images: folder of photographs; None takes scikit-image's. Raises MissingExtraError where a peer is not installed.
    """
    console = console or stdout()
    photographs = _photographs(images, batch_size)
    pictures = np.stack([np.asarray(picture.resize((size, size))) for picture in photographs])
    comparisons = [
        *_compare_resizing(photographs, size, rounds),
        *_compare_post_processing(pictures, rounds),
        *_compare_metrics(_pairs(photographs), rounds),
    ]
    console.print(_table(comparisons), soft_wrap=False)
    report = {
        "benchmark": "kernels",
        "batch_size": batch_size,
        "size": size,
        "pair_size": PAIR_SIZE,
        "rounds": rounds,
        "results": [asdict(comparison) for comparison in comparisons],
        "cuda": [asdict(speed) for speed in cuda_speeds(pictures, rounds)] if _gpu_is_here() else [],
        "machine": machine(),
    }
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return report


def _gpu_is_here() -> bool:
    try:
        return load_cuda().is_available()
    except MissingExtraError:
        return False


def _compare_resizing(photographs: list[Image.Image], size: int, rounds: int) -> list[Comparison]:
    """Time photographs of the usual size on their way onto the grid, and maps on their way back."""
    height, width = PAIR_SIZE
    given = [photograph.resize((width, height)) for photograph in photographs]
    maps = [photograph.convert("L").resize((size, size)) for photograph in photographs]
    comparisons = []
    for name, images, (rows, columns) in (("onto the grid", given, (size, size)), ("maps back", maps, PAIR_SIZE)):
        for resample in ("bilinear", "lanczos"):
            ours = partial(_each, lambda one, *to: resized(np.asarray(one), *to), images, rows, columns, resample)
            peer = partial(
                _each, lambda one, *to: np.asarray(one.resize(*to)), images, (columns, rows), FILTERS[resample]
            )
            comparisons.append(_compared(f"{name}, {resample}", "Pillow", ours, peer, len(images), rounds, 3))
    return comparisons


def _each(function: Callable[..., Any], images: list[Image.Image], *arguments: Any) -> list[np.ndarray]:
    return [function(image, *arguments) for image in images]


def _compare_post_processing(pictures: np.ndarray, rounds: int) -> list[Comparison]:
    saliency = np.random.default_rng(0).random(pictures.shape[:3], np.float32)

    def ours() -> np.ndarray:
        lab = rgb_to_lab(pictures)
        labels = slic_lab(lab, SEGMENTS, COMPACTNESS)
        weight = np.float32(0.2) + paint(low_level_map(superpixel_statistics(lab, labels)), labels)
        return superpixel_mean(saliency, labels) * weight

    def peer() -> list[np.ndarray]:
        return [
            finished_map(picture, noise, SEGMENTS, COMPACTNESS)
            for picture, noise in zip(pictures, saliency, strict=True)
        ]

    def peer_slic() -> list[np.ndarray]:
        return [superpixels(picture, SEGMENTS, COMPACTNESS) for picture in pictures]

    count = len(pictures)
    return [
        _compared("SLIC", "scikit-image", partial(slic, pictures, SEGMENTS, COMPACTNESS), peer_slic, count, rounds, 8),
        _compared("post-processing", "scikit-image + numpy", ours, peer, count, rounds, 8),
    ]


def _compare_metrics(pairs: list[tuple[np.ndarray, np.ndarray]], rounds: int) -> list[Comparison]:
    scoring_peer()  # its absence is told before anything is timed
    comparisons = []
    for name, metrics, classes, goal in (
        ("F, MAE", ("fmeasure", "mae"), ("Fmeasure", "MAE"), 20),
        (
            "F, MAE, E, S, weighted F",
            DEFAULT_METRICS,
            ("Fmeasure", "MAE", "Emeasure", "Smeasure", "WeightedFmeasure"),
            5,
        ),
    ):
        peer = partial(scored_by_peer, pairs, classes)
        for threads in sorted({1, cores()}):
            label = f"{name} ({threads} thread{'s' if threads > 1 else ''})"
            ours = partial(_score, pairs, metrics, threads)
            comparisons.append(_compared(label, "PySODMetrics", ours, peer, len(pairs), rounds, goal))
    return comparisons


def _score(pairs: list[tuple[np.ndarray, np.ndarray]], metrics: tuple[str, ...], threads: int) -> Any:
    """Score as `unsee eval` does: pairs on threads, sums in order."""
    sums, protocol = MetricSums("pysod", metrics), find_protocol("pysod")
    if threads == 1:
        for prediction, mask in pairs:
            sums.update(prediction, mask)
        return sums.result()
    with ThreadPoolExecutor(threads) as pool:
        for scores in pool.map(lambda pair: score_pair(pair[0], pair[1], protocol, metrics), pairs):
            sums.add(scores)
    return sums.result()


def _compared(
    name: str,
    peer_name: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    count: int,
    rounds: int,
    goal: float,
) -> Comparison:
    for function in (ours, peer):  # warm up: compilation, caches
        function()
    ours_times, peer_times = zip(*((_timed(ours), _timed(peer)) for _ in range(rounds)), strict=True)
    wall, cpu = (
        median(theirs[clock] / own[clock] for own, theirs in zip(ours_times, peer_times, strict=True))
        for clock in range(2)
    )
    own, theirs = (1000 * median(wall for wall, _ in times) / count for times in (ours_times, peer_times))
    return Comparison(name, peer_name, round(own, 4), round(theirs, 4), round(wall, 2), round(cpu, 2), goal)


def _timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU over all threads."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _photographs(folder: str | Path | None, count: int) -> list[Image.Image]:
    if folder is None:
        data = require("skimage.data", "test", "the benchmark's photographs")
        paths = [Path(str(data.__file__)).with_name(name) for name in PHOTOGRAPHS]
    else:
        paths = image_files(Path(folder))
    opened = [Image.open(path).convert("RGB") for path in paths[:count]]
    return [opened[index % len(opened)] for index in range(count)]


def _pairs(photographs: list[Image.Image]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Low-level maps of photographs, and masks where they are bright, so that shapes are those of real maps."""
    height, width = PAIR_SIZE
    pictures = np.stack([np.asarray(picture.resize((width, height))) for picture in photographs])
    lab = rgb_to_lab(pictures)
    labels = slic_lab(lab)
    maps = (255 * paint(low_level_map(superpixel_statistics(lab, labels)), labels)).astype(np.uint8)
    masks = np.where(maps > 2 * maps.mean(axis=(1, 2), keepdims=True), np.uint8(255), np.uint8(0))
    rng = np.random.default_rng(0)
    return [
        (np.maximum(saliency, rng.integers(0, 90, saliency.shape, dtype=np.uint8)), mask)
        for saliency, mask in zip(maps, masks, strict=True)
    ]


def _table(comparisons: list[Comparison]) -> Table:
    table = Table(title="milliseconds an image; ratio = peer / ours, median over rounds")
    for heading in ("what", "ours", "peer", "peer's", "ratio", "of CPU time", "goal"):
        table.add_column(heading, justify="left" if heading in ("what", "peer") else "right")
    for one in comparisons:
        times = f"{one.milliseconds:.3f}", one.peer, f"{one.peer_milliseconds:.3f}"
        table.add_row(one.name, *times, f"{one.ratio:.1f}", f"{one.cpu_ratio:.1f}", f"{one.goal:g}")
    return table
