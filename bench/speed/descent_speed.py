"""`unsee bench descent`: every runner side by side against the plain loop that a user of PyTorch would write.

Ceilings first. All contenders run in one process, one after the other in every round; a contender's ratio is the median
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
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from ...errors import UnseeError
from ...export.parity.levels import relative_error
from ...export.parity.synthetic import synthetic_images
from ...terminal import stderr
from .machine import machine
from .rivals import PLAIN, Loop, exported, load_contestant, openers, prepare

if TYPE_CHECKING:
    from .graph_costs import Ceilings, Cost
    from .roofline import Roofs


@dataclass(frozen=True)
class DescentBench:
    """What is timed.

    model: a checkpoint, or a network of `NETWORKS` with random weights. iterations: of a timed call. threads: of the
    CPU, for everyone, all where None. device: cpu or cuda. compiled: take part with PyTorch's compiler, whose warm-up
    takes minutes.
    """

    model: str
    batch_size: int = 8
    iterations: int = 3
    rounds: int = 7
    threads: int | None = None
    device: str = "cpu"
    compiled: bool = True


@dataclass(frozen=True)
class Measured:
    """Seconds an iteration of everyone, in each round, and the ceilings measured in the same rounds."""

    seconds: dict[str, list[float]]
    ceilings: "list[Ceilings]"


@dataclass(frozen=True)
class Speed:
    """Medians over rounds.

    images_per_second: finished images for the number of iterations asked for. ratio: plain loop's time / this time.
    gflops, share: operations a second, and their share of the matrix products' rate in the same round.
    roofline_share: the least time of the step's operators one after the other, each at the ceiling that it meets first,
    over this time; more than 1 is possible where operators are fused or caches hold what passes between them.
    update_error: relative L2 distance of an image's first update from the plain loop's, the largest over images.
    warm_up: seconds of opening and of the first batch.
    """

    name: str
    milliseconds_per_iteration: float
    images_per_second: float
    ratio: float
    gflops: float
    share: float
    roofline_share: float
    update_error: float
    warm_up: float


def bench_descent(bench: DescentBench, console: Console | None = None) -> dict[str, Any]:
    """Time everyone who can run here, print tables and one JSON line, and return what the line says."""
    console = console or stderr()
    threads = prepare(bench.threads)
    from .graph_costs import step_costs
    from .roofline import Roofs, iteration_flops, roofline, show_roofline

    classifier = load_contestant(bench.model)
    size = classifier.metadata.input.size
    flops = iteration_flops(copy.deepcopy(classifier.module), size) * bench.batch_size
    images = synthetic_images(size, bench.batch_size)
    console.print(f"{bench}, {threads} threads, {flops / 1e9:.1f} GFLOP an iteration", soft_wrap=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        bundle = exported(classifier, Path(folder))
        export_seconds = time.perf_counter() - started
        costs = step_costs(bundle.graph_path, bench.batch_size)
        everyone = openers(classifier, bundle, bench.device, threads, bench.compiled)
        contenders, warm_ups = _warm(everyone, images, console)
        errors = _update_errors(contenders, images)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # without what the ceilings take
        measured = _rounds(contenders, Roofs(bench.device, threads), images, bench)
    speeds = [_speed(name, measured, bench, flops, costs, errors[name], warm_ups[name]) for name in contenders]
    found = roofline(costs, _median(measured.ceilings))
    show_roofline(console, found)
    console.print(_table(speeds), soft_wrap=False)
    result = {
        "benchmark": "descent",
        **asdict(bench),
        "network": classifier.metadata.network,
        "threads": threads,
        "gflop_per_image_and_iteration": flops / bench.batch_size / 1e9,
        "ceiling_gflops": found["ceiling_gflops"],
        "export_seconds": export_seconds,
        "peak_memory_mb": memory,
        "sessions": [asdict(speed) for speed in speeds],
        "roofline": found,
        "machine": machine(),
    }
    print(json.dumps(result))
    return result


def _warm(
    everyone: dict[str, Callable[[], Loop]], images: np.ndarray, console: Console
) -> tuple[dict[str, Loop], dict[str, float]]:
    """Open every contender and run a first batch; one that cannot run here is named and left out."""
    contenders: dict[str, Loop] = {}
    warm_ups: dict[str, float] = {}
    for name, opener in everyone.items():
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


def _rounds(contenders: dict[str, Loop], roofs: "Roofs", images: np.ndarray, bench: DescentBench) -> Measured:
    measured = Measured({name: [] for name in contenders}, [])
    for _ in range(bench.rounds):
        measured.ceilings.append(roofs.measure())
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender(images, bench.iterations)
            measured.seconds[name].append((time.perf_counter() - started) / bench.iterations)
    return measured


def _median(ceilings: "list[Ceilings]") -> "Ceilings":
    from .graph_costs import Ceilings

    return Ceilings(median(one.operations for one in ceilings), median(one.bytes for one in ceilings))


def _update_errors(contenders: dict[str, Loop], images: np.ndarray) -> dict[str, float]:
    expected = contenders[PLAIN](images, 1)
    return {name: float(relative_error(contender(images, 1), expected).max()) for name, contender in contenders.items()}


def _speed(
    name: str,
    measured: Measured,
    bench: DescentBench,
    flops: int,
    costs: "list[Cost]",
    error: float,
    warm_up: float,
) -> Speed:
    spent, plain = measured.seconds[name], measured.seconds[PLAIN]
    rounds = list(zip(spent, measured.ceilings, strict=True))
    return Speed(
        name=name,
        milliseconds_per_iteration=median(spent) * 1e3,
        images_per_second=bench.batch_size / median(spent) / bench.iterations,
        ratio=median(other / own for other, own in zip(plain, spent, strict=True)),
        gflops=median(flops / seconds / 1e9 for seconds in spent),
        share=median(flops / seconds / ceilings.operations for seconds, ceilings in rounds),
        roofline_share=median(ceilings.floor(costs) / seconds for seconds, ceilings in rounds),
        update_error=error,
        warm_up=warm_up,
    )


def _table(speeds: list[Speed]) -> Table:
    titles = ("ms/it", "images/s", "ratio", "GFLOP/s", "of products", "of roofline", "error", "warm s")
    table = Table(Column("session", no_wrap=True), *titles, box=None)
    for speed in speeds:
        table.add_row(
            speed.name,
            f"{speed.milliseconds_per_iteration:.1f}",
            f"{speed.images_per_second:.2f}",
            f"{speed.ratio:.2f}",
            f"{speed.gflops:.0f}",
            f"{speed.share:.0%}",
            f"{speed.roofline_share:.0%}",
            f"{speed.update_error:.1e}",
            f"{speed.warm_up:.1f}",
        )
    return table
