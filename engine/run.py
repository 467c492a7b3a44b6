"""A whole run: open the model, freeze or check the plan, finish every shard that is not done, say what happened."""

import os
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..errors import FailedShardsError, OutputError, UnseeError
from ..export.runtime.model_info import ModelInfo
from ..terminal import counted, stderr
from ..train.networks.metadata import BUNDLE_FILE, MODEL_FILE, holds_file
from .inputs.sources import Sources
from .methods.method_config import CLASSIFIER_METHODS
from .methods.models import method_for
from .outputs.done_marks import done_shards, is_done, read_stats
from .outputs.journal import drop_journal
from .outputs.layout import PLAN_ROWS_FILE
from .outputs.output_formats import RunFiles
from .outputs.plan import Plan, ShardJob, read_plan, rows_metadata
from .outputs.rows import SUCCESS, Retry, Row, read_rows
from .plans.earlier_run import has_plan, made_files
from .plans.planning import Draft, PlanRequest, drafted, preview, refuse_nesting
from .plans.priors import prior_fingerprint
from .progress import RunProgress, Watch
from .run_config import Resumption, RunConfig
from .segmentation.picture_config import check_holds_maps
from .status import Summary, summarize
from .stores.store import OutdatedPlanError, Store
from .stores.stores import store_of
from .verify import shard_faults
from .workers.interruption import interruptible, wait_for_workers
from .workers.metrics_file import kept_metrics

if TYPE_CHECKING:
    from .shards.slot import Slot

SHOWN_FAILURES = 5
"""Failed images that are named at the end; the rows name all."""


def run(
    config: RunConfig,
    console: Console | None = None,
    resumption: Resumption | None = None,
    watch: Watch | None = None,
) -> Summary:
    """Process every input of a configuration into its output folder, going on where an earlier run stopped.

    watch: told of the progress, see `RunProgress`.
    Raises `UnseeError` on unusable input, model, device or folder, `FailedShardsError` after all others are done; failed
    images become rows.
    """
    console, config = console or stderr(), with_method_of_model(config)
    store = _store(config)
    in_main_thread = threading.current_thread() is threading.main_thread()
    try:
        with interruptible() if in_main_thread else nullcontext(), store.held():
            return _run(config, store, RunProgress(console, watch=watch), resumption or Resumption())
    except OSError as error:
        raise OutputError(f"{error.filename or store.name}: {error.strerror or error}") from error


def with_method_of_model(config: RunConfig) -> RunConfig:
    """Return the configuration with the method that its model is for, see `method_for`."""
    method = method_for(config.method, config.model)
    return config if method == config.method else replace(config, method=method)


def _store(config: RunConfig) -> Store:
    """Return where results go; raises `UnseeError` without a name, or where a file or a link to nothing stands there."""
    if not config.output_folder:
        raise UnseeError("the output folder has no name: name one, . for this folder")
    store = store_of(config.output_folder)
    if not store.is_remote:
        _refuse_file(store.folder)
        _refuse_model(store.folder)
    store.refuse_inputs(config.sources.inputs)
    return store


def _refuse_model(folder: Path) -> None:
    if any(holds_file(folder, name) for name in (BUNDLE_FILE, MODEL_FILE)):
        raise UnseeError(f"{folder} holds a model: choose another output folder")


def _refuse_file(folder: Path) -> None:
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if os.path.lexists(there) and not there.is_dir():
        raise UnseeError(f"{there} is there and is no folder: choose another output folder")


def dry_run(config: RunConfig, console: Console, resumption: Resumption | None = None) -> None:
    """Print what a run would do, after all its checks but that of the model, without writing anything."""
    config = with_method_of_model(config)
    store = _store(config)
    with store.opened():
        plan, first = preview(_request(config, store.folder, resumption or Resumption()))
    console.print(
        f"{counted(plan.count, 'input')} in {counted(plan.shards, 'shard')} of up to {config.shards.samples}"
        f"{_preset_of(config)}"
    )
    for member in first:
        console.print(f"  {member.place} -> {member.output}")
    if plan.count > len(first):
        console.print(f"  ... and {plan.count - len(first)} more")
    _tell_left_out(console, plan.left_out)


def _run(config: RunConfig, store: Store, progress: RunProgress, resumption: Resumption) -> Summary:
    wait_for_workers(store.folder)
    while True:
        store.bring_plan(with_rows=resumption.retry is not None)
        try:
            with drafted(_request(config, store.folder, resumption)) as draft:
                store.refuse_inputs(draft.paths())
                return _run_draft(config, store, progress, resumption, draft)
        except OutdatedPlanError:
            progress.console.print(f"another run has planned {store.name} meanwhile: taking up its plan")


def _request(config: RunConfig, folder: Path, resumption: Resumption) -> PlanRequest:
    if config.prior:
        refuse_nesting(folder, Sources((config.prior,)))
        if has_plan(Path(config.prior)):
            check_holds_maps(config.prior, read_plan(Path(config.prior)).identity)
    return PlanRequest(
        folder,
        config.sources,
        config.shards,
        RunFiles(config.output_format, masks=config.segmentation.segment != "none"),
        overwrite=resumption.overwrite,
        extend=resumption.extend,
        retry=resumption.retry is not None,
    )


def _run_draft(config: RunConfig, store: Store, progress: RunProgress, resumption: Resumption, draft: Draft) -> Summary:
    """Open the model, put the plan in force, and finish it."""
    from .slots import open_slots  # it loads what computes, which no refusal has to wait for

    console = progress.console
    slots = open_slots(config, store, progress.count_row)
    try:
        info = slots[0].info()
        console.print(f"model {info.model_id} on {info.device} ({_runtime_of(info)}){_preset_of(config)}")
        plan = _frozen(draft, store, _identity(config, info))
        failed = _finish(plan, store, slots, config, progress, resumption)
    finally:
        for slot in slots:
            slot.stop()
    store.bring_marks()
    summary = summarize(plan.folder)
    if summary.shards:
        _report(console, summary, progress)
    if summary.failed:
        _name_failures(console, plan, store)
    if summary.shards:
        _tell_left_out(console, summary.left_out)
    if failed:
        raise _shards_error(failed)
    store.close()
    return summary


def _frozen(draft: Draft, store: Store, identity: dict[str, Any]) -> Plan:
    """Put a draft in force, here and where the results belong."""
    if draft.overwrite:
        store.forget(lambda: made_files(draft.plan.folder))
    plan = draft.freeze(identity)
    store.publish_plan()
    return plan


def _runtime_of(info: ModelInfo) -> str:
    return info.backend if info.precision == "fp32" else f"{info.backend}, {info.precision}"


def _preset_of(config: RunConfig) -> str:
    """Return what is said of the preset; nothing of a method that has no use for one."""
    return f", preset {config.preset.name}" if config.method in CLASSIFIER_METHODS else ""


def _finish(
    plan: Plan,
    store: Store,
    slots: "list[Slot]",
    config: RunConfig,
    progress: RunProgress,
    resumption: Resumption,
) -> dict[int, Exception]:
    """Run what is not done; return the shards that failed for good."""
    from .shards.ray_slots import growth
    from .slots import schedule

    jobs = list(_jobs(plan, store, resumption))
    if not resumption.repair:  # which done-marks may be in need of
        _tell_other_codes(plan, resumption.retry, progress.console)
    if len(jobs) < plan.shards:
        progress.console.print(f"resuming: {plan.shards - len(jobs)} of {plan.shards} shards are done")
    with kept_metrics(config.metrics_file, store.name, progress):
        if not jobs:
            return {}
        more = growth(slots, config, store)
        with progress.shown(_size(plan, jobs)):
            return schedule(slots, jobs, config.max_shard_retry, progress.count_shard, store.claim, more)


def _identity(config: RunConfig, info: ModelInfo) -> dict[str, Any]:
    """Return what decides the bytes of the output; given maps are part of it."""
    identity = config.identity(info)
    return identity if config.prior is None else {**identity, "prior": prior_fingerprint(config.prior)}


def _jobs(plan: Plan, store: Store, resumption: Resumption) -> Iterator[ShardJob]:
    """Yield the shards that are not done, and those to be tried again or repaired."""
    for shard in range(plan.shards):
        if not is_done(plan.folder, shard):
            yield ShardJob(shard)
            continue
        drop_journal(plan.folder, shard)  # of a run that was killed after its done-mark
        retry = resumption.retry
        if resumption.repair and list(shard_faults(store, plan, shard)):
            yield ShardJob(shard, retry or frozenset())
        elif retry is not None and any(_is_retried(row, retry) for row in _failures(store, shard)):
            yield ShardJob(shard, retry)


def _tell_other_codes(plan: Plan, retry: Retry | None, console: Console) -> None:
    """Say which error codes there are, if any, where none of those that are to be tried again is: it may be misspelt."""
    if retry is None or retry == "all":
        return
    done = done_shards(plan.folder, plan.shards)
    codes = {code for shard in done for code in read_stats(plan.folder, shard)["status_dict"]} - {SUCCESS}
    if not codes & retry:
        others = f"; there are {', '.join(sorted(codes))}" if codes else ", or with anything else"
        console.print(f"no image failed with {', '.join(sorted(retry))}{others}")


def _failures(store: Store, shard: int) -> list[Row]:
    return read_rows(store.rows(shard), failures_only=True)


def _is_retried(row: Row, retry: Retry) -> bool:
    return retry == "all" or row.error_code in retry


def _size(plan: Plan, jobs: list[ShardJob]) -> int:
    """Return the number of inputs in the shards to run."""
    metadata = rows_metadata(plan.folder / PLAN_ROWS_FILE)
    return sum(metadata.row_group(job.shard).num_rows for job in jobs)


def _shards_error(failed: dict[int, Exception]) -> UnseeError:
    listed = [f"{shard:05d}: {type(error).__name__}: {error}"[:200] for shard, error in sorted(failed.items())[:5]]
    return FailedShardsError(
        f"{counted(len(failed), 'shard')} failed, all others are done; the same command tries again ({'; '.join(listed)})"
    )


def _report(console: Console, summary: Summary, progress: RunProgress) -> None:
    speed = (
        f" ({progress.made} in this run, {progress.rate:.1f} images/s)" if progress.done else " (nothing left to do)"
    )
    console.print(f"{counted(summary.count, 'image')}, {summary.failed} failed{speed}")
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in summary.stage_seconds.items())
    console.print(f"seconds by stage, all threads: {stages}")
    for status, count in summary.statuses.most_common():
        if status != SUCCESS:
            console.print(f"  {status}: {count}")


def _tell_left_out(console: Console, left_out: dict[str, int]) -> None:
    if left_out:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        console.print(f"left out of the inputs: {told}")


def _name_failures(console: Console, plan: Plan, store: Store) -> None:
    """Name the first images that failed and where the rows of all of them are."""
    done = done_shards(plan.folder, plan.shards)
    failed = (shard for shard in done if read_stats(plan.folder, shard)["failed"])
    rows = list(islice((row for shard in failed for row in _failures(store, shard)), SHOWN_FAILURES + 1))
    for row in rows[:SHOWN_FAILURES]:
        console.print(f"  {row.path}: {row.error_code or row.status}: {row.error_message}")
    more = "; there are more" if len(rows) > SHOWN_FAILURES else ""
    console.print(f"failed images have rows with status and error_code in {store.name}/[0-9]*.parquet{more}")
