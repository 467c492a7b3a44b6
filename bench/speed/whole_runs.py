"""Runs of the engine whose model is open already, timed from their plan to their last done-mark."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...engine.inputs.sources import Sources
from ...engine.methods.method import Method
from ...engine.outputs.layout import Sharding
from ...engine.outputs.plan import ShardJob
from ...engine.plans.planning import make_plan
from ...engine.run_config import RunConfig
from ...engine.shard import ShardRunner

LEAST_IMAGES = 2000
SINGLE_STAGES = ("descent", "write")
"""Stages of one thread; the others have as many as the run has workers."""


@dataclass(frozen=True)
class WholeRun:
    """Seconds from the plan to the last done-mark, and of each stage, summed over its threads."""

    seconds: float
    stage_seconds: dict[str, float]

    def slowest(self, workers: int) -> tuple[str, float]:
        """Return the stage that is busy for the largest share of the time, and that share; workers: threads of a stage."""
        threads = {name: 1 if name in SINGLE_STAGES else workers for name in self.stage_seconds}
        shares = {name: spent / threads[name] / self.seconds for name, spent in self.stage_seconds.items()}
        name = max(shares, key=shares.__getitem__)
        return name, shares[name]


def whole_run(method: Method[Any], config: RunConfig) -> WholeRun:
    """Plan a run and time it."""
    plan = make_plan(Path(config.output_folder), config.sources, {}, config.shards)
    runner, stages = ShardRunner(method, config), Counter[str]()
    started = time.perf_counter()
    for done in runner.run(plan, map(ShardJob, range(plan.shards))):
        stages.update(done.stats["stage_seconds"])
    return WholeRun(time.perf_counter() - started, dict(stages))


def shard_shares(
    method: Method[Any], config: RunConfig, photographs: Sequence[Path], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Return for each size of shards which stage is the slowest and the share of wall time in which it runs.

    A run is of more than one shard, of 2,000 images at least: the photographs in turn.
    """
    rows = []
    for samples in sizes:
        count = max(LEAST_IMAGES, samples + samples // 5)
        with TemporaryDirectory() as name:
            linked = Path(name) / "in"
            _link(photographs, linked, count)
            sources, output = Sources((str(linked),)), str(Path(name) / "out")
            run = whole_run(method, replace(config, sources=sources, output_folder=output, shards=Sharding(samples)))
        stage, share = run.slowest(config.worker_count)
        speed = round(count / run.seconds, 2)
        rows.append(
            {
                "samples": samples,
                "images": count,
                "images_per_second": speed,
                "slowest": stage,
                "share": round(share, 4),
            }
        )
    return rows


def _link(photographs: Sequence[Path], folder: Path, count: int) -> None:
    folder.mkdir()
    for number, path in enumerate(islice(cycle(photographs), count)):
        (folder / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
