"""A whole run: open the model, freeze or check the plan, finish every shard that is not done, say what happened."""

import threading
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console

from ..errors import FailedShardsError, OutputError, UnseeError
from ..export.sessions import SessionInfo
from .config import RunConfig
from .executors import ShardJob, open_slots, schedule
from .interruption import interruptible, locked, wait_for_workers
from .plan import PLAN_FILE, Plan, make_plan, preview, read_plan, refuse_nesting
from .plan import ROWS_FILE as PLAN_ROWS_FILE
from .priors import prior_fingerprint
from .progress import RunProgress
from .rows import SUCCESS
from .shard import done_mark, is_done
from .sinks import ROWS_FILE
from .sources import Sources
from .status import Summary, summarize


def run(
    config: RunConfig,
    console: Console | None = None,
    overwrite: bool = False,
    extend: bool = False,
    retry_errors: Iterable[str] | None = None,
) -> Summary:
    """Process every input of a configuration into its output folder, going on where an earlier run stopped.

    overwrite: forget an earlier run of the folder. extend: add inputs that are new. retry_errors: also try again the
    failed images of finished shards, those with the given error codes or, where empty, all. Raises `UnseeError` on
    unusable input, model, device or folder, `FailedShardsError` after all others are done; failed images become rows.
    """
    console = console or Console(stderr=True)
    folder = Path(config.output_folder)
    in_main_thread = threading.current_thread() is threading.main_thread()
    try:
        with interruptible() if in_main_thread else nullcontext(), locked(folder):
            return _run(config, folder, console, overwrite, extend, retry_errors)
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: {error.strerror or error}") from error


def dry_run(config: RunConfig, console: Console) -> None:
    """Print what a run would do, without writing anything."""
    count, shards, first = preview(config.sources, config.shards.samples)
    console.print(f"{count} inputs in {shards} shards of up to {config.shards.samples}, preset {config.preset.name}")
    for member in first:
        console.print(f"  {member.place} -> {member.output}", markup=False, soft_wrap=True)
    if count > len(first):
        console.print(f"  ... and {count - len(first)} more")


def _run(
    config: RunConfig,
    folder: Path,
    console: Console,
    overwrite: bool,
    extend: bool,
    retry_errors: Iterable[str] | None,
) -> Summary:
    progress = RunProgress(console)
    slots = open_slots(config, progress.count_row)
    try:
        info = slots[0].info()
        console.print(f"model {info.model_id} on {info.device} ({info.backend}), preset {config.preset.name}")
        wait_for_workers(folder)
        if overwrite:
            _forget(folder)
        identity = _identity(config, info)
        plan = make_plan(folder, config.sources, identity, config.shards, extend)
        jobs = _jobs(plan, retry_errors)
        if len(jobs) < plan.shards:
            console.print(f"resuming: {plan.shards - len(jobs)} of {plan.shards} shards are done")
        with progress.shown(_size(plan, jobs)):
            failed = schedule(slots, jobs, config.max_shard_retry, progress.count_shard)
    finally:
        for slot in slots:
            slot.stop()
    summary = summarize(folder)
    _report(console, summary, progress)
    if failed:
        raise _shards_error(failed)
    return summary


def _identity(config: RunConfig, info: SessionInfo) -> dict[str, Any]:
    """Return what decides the bytes of the output; given maps are part of it."""
    identity = config.identity(info.model_id, info.backend, info.device)
    if config.prior is None:
        return identity
    refuse_nesting(Path(config.output_folder), Sources((config.prior,)))
    return {**identity, "prior": prior_fingerprint(config.prior)}


def _jobs(plan: Plan, retry_errors: Iterable[str] | None) -> list[ShardJob]:
    """Return the shards that are not done, and those with failures to try again."""
    jobs = [ShardJob(shard) for shard in range(plan.shards) if not is_done(plan.folder, shard)]
    if retry_errors is not None:
        codes = frozenset(retry_errors)
        done = (shard for shard in range(plan.shards) if is_done(plan.folder, shard))
        jobs += [ShardJob(shard, codes) for shard in done if _has_failures(plan.folder, shard, codes)]
    return jobs


def _has_failures(folder: Path, shard: int, codes: frozenset[str]) -> bool:
    table = pq.read_table(folder / ROWS_FILE.format(shard=shard), columns=["status", "error_code"])
    failures = [row["error_code"] for row in table.to_pylist() if row["status"] != SUCCESS]
    return any(not codes or code in codes for code in failures)


def _size(plan: Plan, jobs: list[ShardJob]) -> int:
    """Return the number of inputs in the shards to run."""
    metadata = pq.ParquetFile(plan.folder / PLAN_ROWS_FILE).metadata
    return sum(metadata.row_group(job.shard).num_rows for job in jobs)


def _forget(folder: Path) -> None:
    """Remove the plan, rows and done-marks of an earlier run; its maps are overwritten as they are made anew."""
    if not (folder / PLAN_FILE).exists():
        return
    plan = read_plan(folder)
    for shard in range(plan.shards):
        done_mark(folder, shard).unlink(missing_ok=True)
        (folder / ROWS_FILE.format(shard=shard)).unlink(missing_ok=True)
    (folder / PLAN_FILE).unlink()


def _shards_error(failed: dict[int, Exception]) -> UnseeError:
    listed = [f"{shard:05d}: {type(error).__name__}: {error}"[:200] for shard, error in sorted(failed.items())[:5]]
    return FailedShardsError(
        f"{len(failed)} shards failed, all others are done; the same command tries them again ({'; '.join(listed)})"
    )


def _report(console: Console, summary: Summary, progress: RunProgress) -> None:
    speed = (
        f" ({progress.done} in this run, {progress.rate:.1f} images/s)" if progress.done else " (nothing left to do)"
    )
    console.print(f"{summary.count} images, {summary.failed} failed{speed}")
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in summary.stage_seconds.items())
    console.print(f"seconds by stage, all threads: {stages}")
    for status, count in summary.statuses.most_common():
        if status != SUCCESS:
            console.print(f"  {status}: {count}")
