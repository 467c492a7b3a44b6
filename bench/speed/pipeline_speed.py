"""`unsee bench pipeline`: images a second from file to file, against the descent alone and the script a user would write.

Each round times all three on the same photographs; ratios are of neighbours in time, and medians over rounds stand for the
machine. The last line printed is JSON.
"""

import json
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ...engine.decoding.decoded_image import DecodingConfig
from ...engine.decoding.decoding import decode
from ...engine.inputs.input import Input, read
from ...engine.inputs.sources import Sources
from ...engine.methods.descents import DescentMethod
from ...engine.methods.models import open_descender
from ...engine.outputs.layout import Sharding
from ...engine.run_config import RunConfig
from ...export.runtime.descender import Descender
from ...terminal import stdout
from ...train.networks.model_names import load_classifier
from ..peers.plain import plain_map, plain_network
from .machine import machine
from .whole_runs import shard_shares, whole_run

PLAIN_RATIO_GOAL = 5.0
SHARE_GOAL = 0.95


def bench_pipeline(
    images: str,
    model: str,
    count: int = 32,
    rounds: int = 3,
    batch_size: int = 8,
    backend: str = "onnxruntime",
    shard_sizes: tuple[int, ...] = (),
    console: Console | None = None,
) -> dict[str, Any]:
    """Compare speeds, print a table and one JSON line, and return what the line says.

    images: a source of at least `count` photographs. model: a checkpoint; backend: see `open_descender`. shard_sizes: see
    `shard_shares`.
    Speeds are in images a second, medians over rounds.
    """
    console = console or stdout()
    members = list(islice(Sources((images,)).stream(), count))
    config = RunConfig(Sources((images,)), "", model=model, batch_size=batch_size, shards=Sharding(len(members)))
    descender = open_descender(model, config.preset.descent, config.device, backend)
    measured = [_round(members, descender, config) for _ in range(rounds + 1)][1:]  # the first warms up
    report = _report(measured, members, descender, config)
    if shard_sizes:
        method = DescentMethod(descender, config.preset.post, config.batch_size)
        report["shards"] = shard_shares(method, config, [Path(member.path) for member in members], shard_sizes)
    console.print(_table(report), soft_wrap=False)
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return report


def _round(members: list[Input], descender: Descender, config: RunConfig) -> dict[str, Any]:
    """Return the seconds of each way to the maps, and the stages of ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stages, whole = _ours(members, descender, replace(config, output_folder=str(folder / "run")))
        alone = _descent_alone(members, descender, config)
        plain = _plain(members, descender, config, folder)
    return {"stages": stages, "pipeline": whole, "descent_alone": alone, "plain": plain}


def _ours(members: list[Input], descender: Descender, config: RunConfig) -> tuple[dict[str, float], float]:
    listing = Path(config.output_folder).with_suffix(".txt")
    listing.write_text("\n".join(str(Path(member.path).resolve()) for member in members))
    method = DescentMethod(descender, config.preset.post, config.batch_size)
    run = whole_run(method, replace(config, sources=Sources((str(listing),))))
    return run.stage_seconds, run.seconds


def _descent_alone(members: list[Input], descender: Descender, config: RunConfig) -> float:
    grid = DecodingConfig(descender.info.input_size)
    pixels = np.stack([decode(read(member), grid).pixels for member in members])
    size = config.batch_size or len(members)
    started = time.perf_counter()
    for first in range(0, len(pixels), size):
        descender.descend(pixels[first : first + size])
    return time.perf_counter() - started


def _plain(members: list[Input], descender: Descender, config: RunConfig, folder: Path) -> float:
    network = plain_network(load_classifier(config.model))
    started = time.perf_counter()
    for member in members:
        plain_map(network, Path(member.path), descender.info.input_size, config.preset, folder / "plain.png")
    return time.perf_counter() - started


def _report(
    measured: list[dict[str, Any]], members: list[Input], descender: Descender, config: RunConfig
) -> dict[str, Any]:
    def speed(way: str) -> float:
        return round(len(members) / median(one[way] for one in measured), 3)

    stages = {stage: median(one["stages"][stage] for one in measured) / len(members) for stage in measured[0]["stages"]}
    return {
        "benchmark": "pipeline",
        "model": descender.info.model_id,
        "backend": descender.info.backend,
        "device": descender.info.device,
        "preset": config.preset.name,
        "iterations": config.preset.descent.iterations,
        "images": len(members),
        "batch_size": config.batch_size,
        "rounds": len(measured),
        "images_per_second": {way: speed(way) for way in ("pipeline", "descent_alone", "plain")},
        "stage_milliseconds_per_image": {stage: round(1000 * seconds, 3) for stage, seconds in stages.items()},
        "descent_share_of_wall": round(median(one["stages"]["descent"] / one["pipeline"] for one in measured), 4),
        "pipeline_over_descent_alone": round(median(one["descent_alone"] / one["pipeline"] for one in measured), 4),
        "pipeline_over_plain": round(median(one["plain"] / one["pipeline"] for one in measured), 3),
        "pipeline_over_plain_goal": PLAIN_RATIO_GOAL,
        "machine": machine(),
    }


def _table(report: dict[str, Any]) -> Table:
    table = Table("figure", "value", "goal")
    for way, speed in report["images_per_second"].items():
        table.add_row(f"{way.replace('_', ' ')}, images/s", f"{speed:.2f}", "")
    for stage, milliseconds in report["stage_milliseconds_per_image"].items():
        table.add_row(f"{stage}, ms an image", f"{milliseconds:.2f}", "")
    table.add_row("share of wall time in which the descent runs", f"{report['descent_share_of_wall']:.1%}", "")
    for row in report.get("shards", ()):
        figure = f"share of wall time in which the slowest stage ({row['slowest']}) runs, shards of {row['samples']}"
        table.add_row(figure, f"{row['share']:.1%}", f"{SHARE_GOAL:.0%}")
    table.add_row("pipeline / plain script", f"{report['pipeline_over_plain']:.2f}", f"{PLAIN_RATIO_GOAL:g}")
    return table
