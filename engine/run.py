"""A whole run: open the model, freeze or check the plan, finish every shard that is not done, say what happened."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..errors import OutputError
from ..export.sessions import open_session
from .config import RunConfig
from .plan import PLAN_FILE, Plan, make_plan, read_plan
from .rows import SUCCESS, Row
from .shard import DONE_MARK, ROWS_FILE, is_done, run_shard


@dataclass
class Summary:
    """Totals of a run directory: shards done, inputs, failures, statuses and stage seconds."""

    shards: int = 0
    count: int = 0
    failed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    stage_seconds: Counter[str] = field(default_factory=Counter)

    @property
    def error_rate(self) -> float:
        """Share of the inputs that failed."""
        return self.failed / self.count if self.count else 0.0


def run(config: RunConfig, console: Console | None = None, overwrite: bool = False) -> Summary:
    """Process every input of a configuration into its output folder, going on where an earlier run stopped.

    Raises `UnseeError` on unusable input, model, device or folder; failed images become rows and are counted.
    """
    console = console or Console(stderr=True)
    session = open_session(config.model, config.preset.descent, config.device, config.backend, config.weights)
    info = session.info
    console.print(f"model {info.model_id} on {info.device} ({info.backend}), preset {config.preset.name}")
    folder = Path(config.output_folder)
    try:
        if overwrite:
            _forget(folder)
        plan = make_plan(
            folder, config.inputs, config.identity(info.model_id, info.backend, info.device), config.samples_per_shard
        )
        remaining = [shard for shard in range(plan.shards) if not is_done(folder, shard)]
        if len(remaining) < plan.shards:
            console.print(f"resuming: {plan.shards - len(remaining)} of {plan.shards} shards are done")
        started = time.monotonic()
        with _ProgressBar(plan, remaining, config.samples_per_shard, console) as bar:
            for shard in remaining:
                run_shard(plan, shard, session, config, bar.count)
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: {error.strerror or error}") from error
    summary = summarize(folder)
    _report(console, summary, bar.done, time.monotonic() - started)
    return summary


def summarize(folder: Path) -> Summary:
    """Add up the done-marks of a run directory."""
    plan = read_plan(folder)
    summary = Summary()
    for shard in range(plan.shards):
        if is_done(folder, shard):
            stats = json.loads((folder / DONE_MARK.format(shard=shard)).read_text())
            summary.shards += 1
            summary.count += stats["count"]
            summary.failed += stats["failed"]
            summary.statuses.update(stats["status_dict"])
            summary.stage_seconds.update(stats["stage_seconds"])
    return summary


def _forget(folder: Path) -> None:
    """Remove the plan, rows and done-marks of an earlier run; its maps are overwritten as they are made anew."""
    if not (folder / PLAN_FILE).exists():
        return
    plan = read_plan(folder)
    for shard in range(plan.shards):
        (folder / DONE_MARK.format(shard=shard)).unlink(missing_ok=True)
        (folder / ROWS_FILE.format(shard=shard)).unlink(missing_ok=True)
    (folder / PLAN_FILE).unlink()


class _ProgressBar:
    """Shows images a second, failures and the time left; counts the rows of this run."""

    def __init__(self, plan: Plan, remaining: list[int], samples_per_shard: int, console: Console) -> None:
        self.done = 0
        self.failed = 0
        last = plan.shards - 1
        short = plan.shards * samples_per_shard - plan.count if last in remaining else 0
        self.total = len(remaining) * samples_per_shard - short
        self.started = time.monotonic()
        self.progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self.task: TaskID = self.progress.add_task("images", total=self.total, speed="")

    def __enter__(self) -> "_ProgressBar":
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def count(self, row: Row) -> None:
        """Count one finished input."""
        self.done += 1
        self.failed += row.status != SUCCESS
        speed = self.done / (time.monotonic() - self.started)
        self.progress.update(self.task, completed=self.done, speed=f"{speed:.1f} images/s, {self.failed} failed")


def _report(console: Console, summary: Summary, done: int, seconds: float) -> None:
    speed = f" ({done} in this run, {done / seconds:.1f} images/s)" if done else " (nothing left to do)"
    console.print(f"{summary.count} images, {summary.failed} failed{speed}")
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in summary.stage_seconds.items())
    console.print(f"seconds by stage, all threads: {stages}")
    for status, count in summary.statuses.most_common():
        if status != SUCCESS:
            console.print(f"  {status}: {count}")
