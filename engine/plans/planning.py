"""Making a plan: the inputs are streamed once, everything that can be wrong is said before anything is written.

A draft is checked without the model; `Draft.freeze` puts it in force once the model, and so the identity, is known.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import UnseeError
from ...files import flush_and_rename, temporary_of
from ..inputs.input import Input, is_url
from ..inputs.sources import Sources
from ..outputs.layout import PLAN_ROWS_FILE, Sharding, journal_path, rows_path
from ..outputs.output_formats import RunFiles
from ..outputs.plan import Columns, Plan, PlannedInput, planned_rows, read_plan, row_columns
from ..outputs.rows import SUCCESS, read_rows
from .ahead import Ahead
from .draft_rows import kept_shards, sharded, write_rows
from .earlier_run import forget, has_plan, made_files
from .fingerprint import Changes, changed_inputs, fingerprint_now, fingerprint_then
from .overlaps import OverlapCheck


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned.

    files: which files the run writes. overwrite: replace an earlier run. extend: add inputs that are new. retry: failed
    inputs may have changed. scratch: where the draft's rows are kept, the run directory where None.
    """

    folder: Path
    sources: Sources
    shards: Sharding = field(default_factory=Sharding)
    files: RunFiles = field(default_factory=lambda: RunFiles("files"))
    overwrite: bool = False
    extend: bool = False
    retry: bool = False
    scratch: Path | None = None

    @property
    def rows(self) -> Path:
        """The file of the draft's rows."""
        return temporary_of((self.scratch or self.folder) / PLAN_ROWS_FILE)


@dataclass(frozen=True)
class Draft:
    """A plan that is checked and not yet in force.

    plan: without an identity where it is new. existing: the plan that it takes up, extends or renews. overwrite: an earlier
    run is forgotten. rows_changed: its rows lie in a temporary file. summary_changed: plan.json is older than the rows, as
    where a run was killed between the two. renewed: shards of which an input has changed.
    """

    plan: Plan
    existing: Plan | None = None
    overwrite: bool = False
    rows_changed: bool = True
    summary_changed: bool = False
    renewed: frozenset[int] = frozenset()

    def paths(self) -> Iterator[str]:
        """Yield what its inputs lie in, a file or an archive each."""
        rows = self.plan.folder / PLAN_ROWS_FILE
        planned = row_columns(temporary_of(rows) if self.rows_changed else rows, "path")
        return (os.fsdecode(path) for (paths,) in planned for path in paths)

    def freeze(self, identity: dict[str, Any]) -> Plan:
        """Put the plan in force and return it; raise `UnseeError` naming what differs from an earlier run's identity."""
        if self.existing:
            _refuse_other_identity(self.existing, identity)
        plan = replace(self.plan, identity=identity)
        if not self.rows_changed:
            if self.summary_changed:
                plan.write()
            return plan
        for shard in self.renewed:
            journal_path(plan.folder, shard).unlink(missing_ok=True)
        if self.overwrite:
            forget(plan.folder)
        flush_and_rename(plan.folder / PLAN_ROWS_FILE)
        plan.write()
        return plan


@contextmanager
def drafted(request: PlanRequest) -> Iterator[Draft]:
    """Yield the draft of a plan; what it keeps on disk is removed where it is not frozen.

    Raises `UnseeError` when there is no input, when inputs have changed since an earlier run, and when the run would write
    over what it reads, over its own results, or over files that no earlier run made.
    """
    refuse_nesting(request.folder, request.sources)
    request.rows.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Ahead() as ahead:
            draft = _draft(request, ahead)
        yield draft
    finally:
        request.rows.unlink(missing_ok=True)


def make_plan(folder: Path, sources: Sources, identity: dict[str, Any], shards: Sharding, extend: bool = False) -> Plan:
    """Freeze a plan at once, where the identity is known beforehand; see `drafted`."""
    with drafted(PlanRequest(folder, sources, shards, extend=extend)) as draft:
        return draft.freeze(identity)


def preview(request: PlanRequest, most: int = 5) -> tuple[Plan, list[Input]]:
    """Return the plan that a request would lead to and its first inputs; everything is checked and nothing is kept."""
    with TemporaryDirectory() as scratch:
        request = replace(request, scratch=Path(scratch))
        with drafted(request) as draft:
            rows = request.rows if draft.rows_changed else request.folder / PLAN_ROWS_FILE
            return draft.plan, [planned.input for planned, _ in islice(planned_rows(rows), most)]


def refuse_nesting(folder: Path, sources: Sources) -> None:
    """Raise `UnseeError` if the output folder is an input folder or lies in one, so that its maps would become inputs."""
    output = folder.resolve()
    for source in sources.inputs:
        if not is_url(source) and Path(source).is_dir() and output.is_relative_to(Path(source).resolve()):
            raise UnseeError(f"the output folder {folder} lies in the input folder {source}: choose one outside it")


def _draft(request: PlanRequest, ahead: Ahead) -> Draft:
    if request.overwrite or not has_plan(request.folder):
        return _fresh(request, ahead)
    plan = read_plan(request.folder)
    if not request.extend and fingerprint_now(ahead.stream(request.sources), ahead.measure) == plan.fingerprint:
        return Draft(plan, plan, rows_changed=False)
    changes = changed_inputs(plan.inputs, lambda: ahead.stream(request.sources), ahead.measure)
    if not changes:
        return _repaired(plan)
    _refuse_changes(plan, changes, request)
    return _renewed(plan, changes, request, ahead)


def _fresh(request: PlanRequest, ahead: Ahead) -> Draft:
    left_out: Counter[str] = Counter()
    plan = _written(request, sharded(ahead.stream(request.sources, left_out), request.shards, 0), 0, ahead)
    _refuse_overlaps(request, plan)
    plan = replace(plan, left_out=dict(left_out), started_in=str(Path.cwd()))
    return Draft(plan, overwrite=request.overwrite)


def _repaired(plan: Plan) -> Draft:
    """Return a draft of the plan as it is, with a summary that is as its rows are."""
    right = replace(plan, fingerprint=fingerprint_then(plan.inputs()))
    return Draft(right, right, rows_changed=False, summary_changed=right != plan)


def _refuse_changes(plan: Plan, changes: Changes, request: PlanRequest) -> None:
    if len(changes.gone) or (len(changes.new) and not request.extend):
        remedy = "restore what is gone" if len(changes.gone) else "--extend takes up what is new"
        raise UnseeError(
            f"{plan.folder} was planned for other inputs ({changes.describe()}): {remedy}, or use another output folder, "
            "or --overwrite"
        )
    if len(changes.changed) == 0:
        return
    if not request.retry:
        advice = "--retry-errors takes failed ones as they are now; else use another output folder, or --overwrite"
        raise UnseeError(f"{plan.folder} was planned for other inputs ({changes.describe()}): {advice}")
    finished = _finished(plan, changes)
    if finished:
        raise UnseeError(
            f"{plan.folder}: {finished} has changed since its map was made ({changes.describe()}): "
            "restore it, use another output folder, or --overwrite"
        )


def _finished(plan: Plan, changes: Changes) -> str | None:
    """Return the place of a changed input whose map is there, None where all of them failed or are not done."""
    for shard, changed in groupby(_changed(plan, changes), key=lambda planned: planned.shard):
        successes = _successes(plan.folder, shard)
        for planned in changed:
            if planned.key in successes:
                return planned.input.place
    return None


def _successes(folder: Path, shard: int) -> set[str]:
    """Return the keys of the images whose maps are there; of a shard without readable rows all are made again."""
    with suppress(UnseeError):
        return {row.key for row in read_rows(rows_path(folder, shard)) if row.status == SUCCESS}
    return set()


def _changed(plan: Plan, changes: Changes) -> Iterator[PlannedInput]:
    rows = planned_rows(plan.folder / PLAN_ROWS_FILE, plan.shards)
    return (planned for planned, _ in rows if changes.is_changed(planned.input))


def _renewed(plan: Plan, changes: Changes, request: PlanRequest, ahead: Ahead) -> Draft:
    """Return the plan with inputs' sizes as they are now and with shards for those that are new."""
    kept = kept_shards(plan.folder / PLAN_ROWS_FILE, plan.shards)
    new = (member for member in ahead.stream(request.sources) if changes.is_new(member))
    shards = chain(kept, sharded(new, request.shards, plan.shards))
    renewed = frozenset(planned.shard for planned in _changed(plan, changes))
    written = _written(request, shards, plan.shards, ahead)
    made = replace(plan, count=written.count, shards=written.shards, fingerprint=written.fingerprint)
    _refuse_overlaps(request, made)
    return Draft(made, plan, renewed=renewed)


def _written(request: PlanRequest, shards: Iterable[Columns], first_new: int, ahead: Ahead) -> Plan:
    """Write the rows of a plan; see `write_rows`."""
    rows = write_rows(request.rows, shards, first_new, ahead.measure)
    if not rows.count:
        part = request.sources.part
        told = f": part {part} is empty, there are fewer archives, or thousands of images, than parts" if part else ""
        raise UnseeError(f"no images among the inputs{told}")
    return Plan(request.folder, rows.count, rows.shards, {}, rows.fingerprint)


def _refuse_overlaps(request: PlanRequest, plan: Plan) -> None:
    every = request.overwrite or has_plan(request.folder)
    check = OverlapCheck(
        request.folder, request.rows, request.files, plan.shards, lambda: made_files(request.folder, every)
    )
    given = [source for source in request.sources.inputs if not Path(source).is_dir()]
    check.refuse_inputs(given, through_links=every)
    for source in given:
        if glob.has_magic(source) and not is_url(source) and not os.path.lexists(source):
            check.refuse_pattern(source)


def _refuse_other_identity(plan: Plan, identity: dict[str, Any]) -> None:
    then, now = (values.get("algorithm") for values in (plan.identity, identity))
    if then != now:
        raise UnseeError(
            f"{plan.folder} holds a run of another version of the algorithm (algorithm: {then} then, {now} now): "
            "finish it with the unsee that began it, use another output folder, or --overwrite"
        )
    changes = _differences(plan.identity, identity)
    if changes:
        raise UnseeError(
            f"{plan.folder} holds a run with another configuration ({'; '.join(changes)}): "
            "use the same options, another output folder, or --overwrite"
        )


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    changes: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            changes.append(f"{prefix}{key}: {old} then, {new} now")
    return changes
