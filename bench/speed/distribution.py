"""`unsee bench distribution`: the same run in one process, over one Ray actor and over two, a core each, round by round.

A way is confined to as many cores as it has actors, all its threads and Ray's own processes included: left free, a lone
actor would decode and post-process on the second core. Speeds are over the time from the first shard's start to the
last one's end: opening models and starting Ray is left out. The last line printed is JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from ...engine.inputs.sources import Sources
from ...engine.outputs.done_marks import read_stats
from ...engine.outputs.plan import read_plan
from ...errors import UnseeError
from ...terminal import stdout
from ...threads import cores
from .machine import machine


@dataclass(frozen=True)
class Way:
    """Options of a run, and the cores that it is confined to."""

    options: tuple[str, ...]
    cores: int


WAYS = {
    "local": Way((), 1),
    "ray_1": Way(("--distributor", "ray"), 1),
    "ray_2": Way(("--distributor", "ray", "--processes", "2"), 2),
}
TWO_ACTORS_GOAL = 1.85
OVERHEAD_GOAL = 0.05


def bench_distribution(
    images: str,
    model: str,
    shards: int = 4,
    samples: int = 256,
    iterations: int = 2,
    rounds: int = 3,
    console: Console | None = None,
) -> dict[str, Any]:
    """Compare images a second, print one JSON line and return what it says.

    images: a source of photographs, taken again and again until there are `shards` times `samples`. Raises `UnseeError`
    where the process may not use two cores.
    """
    console = console or stdout()
    if cores() < 2:
        raise UnseeError("two actors of a core each need two cores")
    paths = [str(Path(member.path).resolve()) for member in Sources((images,)).stream()]
    wanted = list(islice(cycle(paths), shards * samples))
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        listing = Path(name) / "images.txt"
        listing.write_text("\n".join(wanted))
        for number in range(rounds):
            for way, setting in WAYS.items():
                folder = Path(name) / f"{way}-{number}"
                _run(listing, folder, model, samples, iterations, setting)
                speeds[way].append(_speed(folder))
                console.print(f"round {number + 1}, {way}: {speeds[way][-1]:.1f} images/s")
    report = _report(speeds, shards, samples, iterations)
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return report


def _run(listing: Path, folder: Path, model: str, samples: int, iterations: int, way: Way) -> None:
    command = [sys.executable, "-m", "unsee", "run", str(listing), "--output-folder", str(folder), "--model", model]
    command += ["--number-sample-per-shard", str(samples), "--iterations", str(iterations), "--output-names", "key"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    confine = partial(os.sched_setaffinity, 0, sorted(os.sched_getaffinity(0))[: way.cores])
    subprocess.run(
        [*command, *way.options, "--workers", "1"],
        check=True,
        capture_output=True,
        env=environment,
        preexec_fn=confine,
    )


def _speed(folder: Path) -> float:
    plan = read_plan(folder)
    stats = [read_stats(folder, shard) for shard in range(plan.shards)]
    return plan.count / (max(one["end_time"] for one in stats) - min(one["start_time"] for one in stats))


def _report(speeds: dict[str, list[float]], shards: int, samples: int, iterations: int) -> dict[str, Any]:
    rounds = list(zip(*speeds.values(), strict=True))
    return {
        "benchmark": "distribution",
        "shards": shards,
        "samples_per_shard": samples,
        "iterations": iterations,
        "rounds": len(rounds),
        "images_per_second": {way: round(median(values), 2) for way, values in speeds.items()},
        "two_actors_over_one": round(median(two / one for _, one, two in rounds), 3),
        "two_actors_goal": TWO_ACTORS_GOAL,
        "ray_overhead": round(median(local / one - 1 for local, one, _ in rounds), 4),
        "ray_overhead_goal": OVERHEAD_GOAL,
        "machine": machine(),
    }
