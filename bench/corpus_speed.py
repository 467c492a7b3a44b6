"""`unsee bench corpus`: a large corpus of small images in tars, some damaged, against a small one and the descent alone.

Every run is an `unsee run` of its own process, whose largest memory the system tells; with Ray, that of its actors. The
last line printed is JSON.
"""

import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ..engine.decoding.decoded_image import DecodingConfig
from ..engine.decoding.decoding import decode
from ..engine.inputs.input import read
from ..engine.inputs.sources import Sources
from ..engine.methods.models import open_descender
from ..engine.outputs.done_marks import done_shards, read_stats
from ..engine.run_config import RunConfig
from ..engine.status import summarize
from ..errors import UnseeError
from ..terminal import stdout
from .command_memory import most_held, most_held_on_ray
from .speed.machine import machine

IN_A_TAR = 1000
DAMAGED = 50
"""Every fiftieth file is damaged: 2 %."""
DIFFERENT = 500
"""Photographs that are made small, and then are repeated."""
MEMORY_GOAL, SPEED_GOAL = 1.1, 0.95


@dataclass(frozen=True)
class CorpusBench:
    """images: a source of photographs. count, small: images of the two corpora. side: their longer side in pixels.
    ray: on two machines, of which one dies halfway through the large corpus.
    """

    images: str
    count: int = 200_000
    small: int = 2000
    side: int = 160
    samples: int = 1000
    batch_size: int = 16
    ray: bool = False


@dataclass(frozen=True)
class _Run:
    images_per_second: float
    megabytes: float


def bench_corpus(bench: CorpusBench, console: Console | None = None) -> dict[str, Any]:
    """Run both corpora with default settings, print a table and one JSON line, and return what the line says."""
    console = console or stdout()
    pictures = _small_pictures(bench)
    before = _descent_alone(pictures, bench)
    small, large = (_run(pictures, bench, count) for count in (bench.small, bench.count))
    alone = (before + _descent_alone(pictures, bench)) / 2
    report = {
        "benchmark": "corpus",
        "images": bench.count,
        "small_corpus": bench.small,
        "damaged": round(1 / DAMAGED, 4),
        "samples_per_shard": bench.samples,
        "batch_size": bench.batch_size,
        "machines": 2 if bench.ray else 1,
        "images_per_second": {"corpus": round(large.images_per_second, 2), "descent_alone": round(alone, 2)},
        "megabytes": {"corpus": round(large.megabytes, 1), "small_corpus": round(small.megabytes, 1)},
        "over_descent_alone": round(large.images_per_second / alone, 4),
        "over_descent_alone_goal": SPEED_GOAL,
        "memory_over_small_corpus": round(large.megabytes / small.megabytes, 4),
        "memory_over_small_corpus_goal": MEMORY_GOAL,
        "machine": machine(),
    }
    console.print(_table(report), soft_wrap=False)
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return report


def _small_pictures(bench: CorpusBench) -> list[bytes]:
    pictures = []
    for member in islice(Sources((bench.images,)).stream(), DIFFERENT):
        with Image.open(io.BytesIO(read(member))) as image:
            small = image.convert("RGB")
        small.thumbnail((bench.side, bench.side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG")
        pictures.append(buffer.getvalue())
    return pictures


def _descent_alone(pictures: Sequence[bytes], bench: CorpusBench) -> float:
    """Return images a second of descents on what is decoded already, the median over batches."""
    config = RunConfig(Sources((bench.images,)), "")
    descender = open_descender(config.model, config.preset.descent, config.device, config.backend)
    grid = DecodingConfig(descender.info.input_size)
    pixels = np.stack([decode(data, grid).pixels for data in pictures])
    batches = [pixels[first : first + bench.batch_size] for first in range(0, len(pixels), bench.batch_size)]
    descender.descend(batches[0])  # warms up
    return 1 / median(_seconds_an_image(descender, batch) for batch in batches)


def _seconds_an_image(descender: Any, batch: np.ndarray) -> float:
    started = time.perf_counter()
    descender.descend(batch)
    return (time.perf_counter() - started) / len(batch)


def _run(pictures: Sequence[bytes], bench: CorpusBench, count: int) -> _Run:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_tars(folder / "in", pictures, count)
        options = ["--number-sample-per-shard", bench.samples, "--batch-size", bench.batch_size]
        options += ["--output-format", "webdataset", "--max-error-rate", 1, "--output-folder", folder / "out"]
        command = [str(part) for part in (sys.executable, "-m", "unsee", "run", folder / "in", *options)]
        shards = -(-count // bench.samples)
        if bench.ray:
            half_done = partial(_is_half_done, folder / "out", shards)
            command += ["--distributor", "ray", "--processes", "2"]
            megabytes = most_held_on_ray(command, half_done if count > bench.small else None)
        else:
            megabytes = most_held(command)
        summary, rate = summarize(folder / "out"), count / _seconds(folder / "out", shards)
    if (summary.count, summary.failed) != (count, -(-count // DAMAGED)):
        raise UnseeError(f"of {count} images {summary.count} have rows, and {summary.failed} failed")
    return _Run(rate, megabytes)


def _is_half_done(folder: Path, shards: int) -> bool:
    return 2 * len(list(done_shards(folder, shards))) >= shards


def _seconds(folder: Path, shards: int) -> float:
    """Return the time from the start of a run's first shard to the end of its last."""
    stats = [read_stats(folder, shard) for shard in done_shards(folder, shards)]
    return max(one["end_time"] for one in stats) - min(one["start_time"] for one in stats)


def _write_tars(folder: Path, pictures: Sequence[bytes], count: int) -> None:
    folder.mkdir()
    for first in range(0, count, IN_A_TAR):
        with tarfile.open(folder / f"{first // IN_A_TAR:05d}.tar", "w") as archive:
            for number in range(first, min(first + IN_A_TAR, count)):
                data = pictures[number % len(pictures)]
                data = data[: len(data) // 3] if number % DAMAGED == 0 else data
                info = tarfile.TarInfo(f"{number:09d}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def _table(report: dict[str, Any]) -> Table:
    table = Table("figure", "value", "goal")
    for what in ("images_per_second", "megabytes"):
        for name, value in report[what].items():
            table.add_row(f"{name.replace('_', ' ')}, {what.replace('_', ' ')}", f"{value:g}", "")
    for name in ("over_descent_alone", "memory_over_small_corpus"):
        table.add_row(name.replace("_", " "), f"{report[name]:.3f}", f"{report[f'{name}_goal']:g}")
    return table
