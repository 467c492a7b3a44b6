"""`unsee bench refinement`: seconds of one core for the refinement of a map; the last line is JSON."""

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from ..engine.cleanup.edge_refinement import edge_refined
from ..engine.methods.image_methods import robust_background
from ..engine.segmentation.segment_config import Refine, SegmentConfig
from ..engine.segmentation.segmenter import refined, superpixels
from ..formats import image_files
from .speed.machine import machine

BY_SEEDS: tuple[Refine, ...] = ("ultrametric", "random-walker")
GOAL = 50.0
"""Milliseconds of one core for a map of 224 x 224 pixels and 100 runs."""


def bench_refinement(images: Path, count: int, size: int, rounds: int, console: Console) -> dict[str, Any]:
    """Refine maps of photographs in every way; print and return milliseconds of CPU an image, medians over rounds.

    Superpixels are counted apart: runs make them once for everything.
    """
    paths = image_files(images)[:count]
    pictures = np.stack([np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths])
    maps = robust_background(pictures)
    figures: dict[str, Any] = {"images": len(pictures), "size": size, "goal": GOAL}
    for kind in BY_SEEDS:
        config = SegmentConfig(refine=kind)
        times = [_cpu_seconds(pictures, maps, config) for _ in range(rounds + 1)][1:]  # the first one warms up
        for name, seconds in zip(("superpixels", kind), zip(*times, strict=True), strict=True):
            figures[f"{name} ms"] = 1000 * median(seconds) / len(pictures)
    times = [_edge_seconds(pictures, maps) for _ in range(rounds + 1)][1:]
    figures["bilateral ms"] = 1000 * median(times) / len(pictures)
    for name in ("superpixels", *BY_SEEDS, "bilateral"):
        console.print(f"{name}: {figures[f'{name} ms']:.1f} ms of CPU an image")
    typer.echo(json.dumps({"benchmark": "refinement", **figures, "machine": machine()}))
    return figures


def _edge_seconds(pictures: np.ndarray, maps: np.ndarray) -> float:
    start = time.process_time()
    edge_refined(maps, pictures)
    return time.process_time() - start


def _cpu_seconds(pictures: np.ndarray, maps: np.ndarray, config: SegmentConfig) -> tuple[float, float]:
    """Seconds of CPU, over all threads, for the superpixels and for the refinement."""
    start = time.process_time()
    regions = superpixels(pictures, config)
    middle = time.process_time()
    refined(maps, regions, config)
    return middle - start, time.process_time() - middle
