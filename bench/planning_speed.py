"""`unsee bench planning`: planning many files, and checking that plan again, against the loop that a script would have.

Each way runs in a process of its own, in turn and round by round, so that its memory is its own (without the processes
that planning starts beside, 20 MB each); ratios are of neighbours in time, medians over rounds. The last line printed is
JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from ..engine.inputs.sources import Sources
from ..engine.outputs.layout import Sharding
from ..engine.plans.planning import make_plan
from ..errors import UnseeError
from ..terminal import stdout
from .command_memory import held_by
from .speed.machine import machine

A_FOLDER = 1000
"""Files in each folder of the corpus."""


@dataclass(frozen=True)
class PlanningBench:
    """count: empty files, made in a temporary folder. rounds: of all ways, after one that warms up."""

    count: int = 100_000
    rounds: int = 3


def bench_planning(bench: PlanningBench, console: Console | None = None) -> dict[str, Any]:
    """Compare the ways, print one JSON line, and return what it says: medians over rounds.

    Raises `UnseeError` where a way finds another number of files than were made.
    """
    console = console or stdout()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_files(folder / "images", bench.count)
        measured = [_round(folder, number) for number in range(bench.rounds + 1)][1:]
    if any(found["count"] != bench.count for one in measured for found in one.values()):
        raise UnseeError(f"{bench.count} files were made, and another number was found")
    report = _report(bench, measured)
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return report


def _make_files(folder: Path, count: int) -> None:
    for start in range(0, count, A_FOLDER):
        inner = folder / f"{start // A_FOLDER:06d}"
        inner.mkdir(parents=True)
        for number in range(start, min(start + A_FOLDER, count)):
            (inner / f"{number:09d}.jpg").touch()


def _round(folder: Path, number: int) -> dict[str, dict[str, float]]:
    """Return what each way takes; all see the same files, and the plan that is checked again is the one just made."""
    return {way: _alone(way, folder / "images", folder / f"{number}") for way in WAYS}


def _alone(way: str, images: Path, output: Path) -> dict[str, float]:
    code = f"import sys; from {__name__} import time_way; time_way(*sys.argv[1:])"
    command = [sys.executable, "-c", code, way, str(images), str(output)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def time_way(way: str, images: str, output: str) -> None:
    """Run one way and print, as JSON, its count, its seconds, and the most memory that it took, MB."""
    started = time.perf_counter()
    count = WAYS[way](images, output)
    seconds = time.perf_counter() - started
    print(json.dumps({"count": count, "seconds": seconds, "memory_mb": held_by()}))


def plain_loop(images: str, output: str) -> int:
    """Walk, ask for sizes, and write a table of it all: a list of everything is held, nothing is checked."""
    paths = sorted(os.path.join(folder, name) for folder, _, names in os.walk(images) for name in names)  # noqa: PTH118
    sizes = [os.stat(path).st_size for path in paths]  # noqa: PTH116 - as the script would
    pq.write_table(pa.table({"path": paths, "bytes": sizes}), f"{output}.parquet")
    return len(paths)


def _plan(images: str, output: str) -> int:
    return make_plan(Path(output), Sources((images,)), {}, Sharding()).count


WAYS: dict[str, Callable[[str, str], int]] = {"plain": plain_loop, "plan": _plan, "check": _plan}
"""In the order of a round."""


def _report(bench: PlanningBench, measured: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    return {
        "benchmark": "planning",
        "inputs": bench.count,
        "rounds": bench.rounds,
        "seconds": {way: round(median(one[way]["seconds"] for one in measured), 2) for way in WAYS},
        "memory_mb": {way: round(median(one[way]["memory_mb"] for one in measured)) for way in WAYS},
        "times_the_plain_loop": {
            way: round(median(one[way]["seconds"] / one["plain"]["seconds"] for one in measured), 2)
            for way in WAYS
            if way != "plain"
        },
        "machine": machine(),
    }
