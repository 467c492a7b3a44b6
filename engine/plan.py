"""The plan of a run, frozen before the first image: every input, its key, its output and its shard."""

import json
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UnseeError
from ..files import atomic_path, write_json
from .fingerprint import Fingerprint, changed_inputs, output_hash
from .inputs import Input, is_url, stat_size
from .pipeline import batched
from .sharding import Sharding
from .sources import Sources

PLAN_VERSION = 1
PLAN_FILE = "plan.json"
ROWS_FILE = "plan.parquet"
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.binary()),
        ("output", pa.binary()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("row", pa.int64()),
        ("problem", pa.string()),
        ("bytes", pa.int64()),
    ]
)
"""Paths are bytes, as the file system has them: a name need not be valid UTF-8. `bytes` is the file's size when planned."""

PLACE = ("offset", "size", "row", "problem")
"""Columns that, with the path, say where an input's bytes are."""


@dataclass(frozen=True)
class PlannedInput:
    """One row of the plan. key: shard (5 digits) and place in it (4)."""

    key: str
    input: Input


@dataclass(frozen=True)
class Plan:
    """A frozen run.

    count, shards: of inputs and of shards. identity: what decides the output's bytes. fingerprint: of the inputs.
    """

    folder: Path
    count: int
    shards: int
    identity: dict[str, Any]
    fingerprint: str

    def rows(self, shard: int) -> list[PlannedInput]:
        """Read the inputs of one shard."""
        table = pq.ParquetFile(self.folder / ROWS_FILE).read_row_group(shard)
        return [_planned(row) for row in table.to_pylist()]

    def inputs(self) -> Iterator[tuple[Input, int]]:
        """Yield every planned input with the size its file had."""
        return _planned_inputs(self.folder / ROWS_FILE)


def make_plan(folder: Path, sources: Sources, identity: dict[str, Any], shards: Sharding, extend: bool = False) -> Plan:
    """Freeze a plan in `folder`, or check that the one which is there is the same; `extend` adds inputs that are new.

    Raises `UnseeError` naming the difference when the configuration or the inputs have changed, when two inputs would
    write one output, when there is no input, and when the output folder lies in an input folder.
    """
    refuse_nesting(folder, sources)
    if not (folder / PLAN_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        return _frozen(folder, _sharded(_told_apart(sources), shards, 0), identity)
    plan = read_plan(folder)
    _refuse_other_identity(plan, identity)
    if extend:
        return _extended(plan, sources, shards)
    _refuse_other_inputs(plan, sources)
    return plan


def preview(sources: Sources, samples_per_shard: int, most: int = 5) -> tuple[int, int, list[Input]]:
    """Return the number of inputs and shards of a plan and its first inputs, without writing anything."""
    count, first = 0, []
    for member in _told_apart(sources):
        count += 1
        if len(first) < most:
            first.append(member)
    return count, -(-count // samples_per_shard), first


def refuse_nesting(folder: Path, sources: Sources) -> None:
    """Raise `UnseeError` if the output folder is an input folder or lies in one."""
    output = folder.resolve()
    for source in sources.inputs:
        if not is_url(source) and Path(source).is_dir() and output.is_relative_to(Path(source).resolve()):
            raise UnseeError(f"the output folder {folder} lies in the input folder {source}: choose one outside it")


def read_plan(folder: Path) -> Plan:
    """Read the plan of a run directory."""
    try:
        value = json.loads((folder / PLAN_FILE).read_text())
        if value["version"] != PLAN_VERSION:
            raise UnseeError(f"{folder / PLAN_FILE}: version {value['version']}, this unsee reads {PLAN_VERSION}")
        return Plan(folder, value["count"], value["shards"], value["identity"], value["fingerprint"])
    except OSError as error:
        raise UnseeError(f"{folder}: not a run directory ({error.strerror}: {PLAN_FILE})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UnseeError(f"{folder / PLAN_FILE}: damaged ({type(error).__name__}: {error})") from None


def _frozen(folder: Path, shards_of_inputs: Iterable[list[PlannedInput]], identity: dict[str, Any]) -> Plan:
    """Stream the inputs, a list a shard, into the plan's files."""
    fingerprint, outputs = Fingerprint(), array("Q")  # 8 bytes an input are all that planning keeps of it
    shards = 0
    with atomic_path(folder / ROWS_FILE) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA) as writer:
            for members in shards_of_inputs:
                sizes = [stat_size(member.input.path) for member in members]
                writer.write_table(_table(members, sizes), row_group_size=len(members))
                shards += 1
                for member, size in zip(members, sizes, strict=True):
                    fingerprint.add(member.input, size)
                    outputs.append(output_hash(member.input))
        if not outputs:
            raise UnseeError("no images among the inputs")
        _refuse_collisions(np.frombuffer(outputs, np.uint64), temporary)
    plan = Plan(folder, len(outputs), shards, identity, fingerprint.hexdigest())
    value = {"version": PLAN_VERSION, "count": plan.count, "shards": shards, "fingerprint": plan.fingerprint}
    write_json(folder / PLAN_FILE, {**value, "identity": identity})
    return plan


def _extended(plan: Plan, sources: Sources, shards: Sharding) -> Plan:
    """Add shards for the inputs that the plan lacks; those it holds must all be there, unchanged."""
    changed = changed_inputs(plan.inputs, sources.stream)
    if changed.gone:
        raise UnseeError(f"{plan.folder} cannot be extended: {changed.describe(gone_only=True)}")
    if not changed.new:
        return plan
    kept = (plan.rows(shard) for shard in range(plan.shards))
    added = _sharded(changed.only_new(_told_apart(sources)), shards, plan.shards)
    return _frozen(plan.folder, chain(kept, added), plan.identity)


def _refuse_other_identity(plan: Plan, identity: dict[str, Any]) -> None:
    changes = _differences(plan.identity, identity)
    if changes:
        raise UnseeError(
            f"{plan.folder} holds a run with another configuration ({'; '.join(changes)}): "
            "use the same options, another output folder, or --overwrite"
        )


def _refuse_other_inputs(plan: Plan, sources: Sources) -> None:
    fingerprint = Fingerprint()
    for member in sources.stream():
        fingerprint.add_now(member)
    if fingerprint.hexdigest() != plan.fingerprint:
        changed = changed_inputs(plan.inputs, sources.stream)
        raise UnseeError(
            f"{plan.folder} was planned for other inputs ({changed.describe()}): "
            "restore them, use another output folder, --extend for new ones, or --overwrite"
        )


def _told_apart(sources: Sources) -> Iterator[Input]:
    """Yield the inputs; those whose outputs are equal keep their suffix."""
    hashes, counts = np.unique(
        np.array(array("Q", (output_hash(member) for member in sources.stream())), np.uint64), return_counts=True
    )
    shared = {int(value) for value in hashes[counts > 1]}
    for member in sources.stream():
        kept = member.suffix if output_hash(member) in shared else ""
        yield replace(member, output=member.output + kept, suffix="")


def _sharded(inputs: Iterable[Input], shards: Sharding, first_shard: int) -> Iterator[list[PlannedInput]]:
    for shard, members in enumerate(batched(inputs, shards.samples), first_shard):
        keys = [f"{shard:05d}{place:04d}" for place in range(len(members))]
        if shards.output_names == "key":
            members = [replace(member, output=f"{shard:05d}/{key}") for key, member in zip(keys, members, strict=True)]
        yield [PlannedInput(key, member) for key, member in zip(keys, members, strict=True)]


def _table(members: list[PlannedInput], sizes: list[int]) -> pa.Table:
    inputs = [member.input for member in members]
    columns = [
        [member.key for member in members],
        [os.fsencode(member.path) for member in inputs],
        [os.fsencode(member.output) for member in inputs],
        *([getattr(member, name) for member in inputs] for name in PLACE),
        sizes,
    ]
    return pa.table(columns, SCHEMA)


def _planned(row: dict[str, Any]) -> PlannedInput:
    place = {name: row[name] for name in PLACE}
    return PlannedInput(row["key"], Input(os.fsdecode(row["path"]), os.fsdecode(row["output"]), **place))


def _planned_inputs(path: Path) -> Iterator[tuple[Input, int]]:
    """Yield every planned input with the size its file had."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=4096):
        for row in batch.to_pylist():
            yield _planned(row).input, row["bytes"]


def _refuse_collisions(outputs: np.ndarray, path: Path) -> None:
    values, counts = np.unique(outputs, return_counts=True)
    shared = values[counts > 1]
    if len(shared) == 0:
        return
    one = int(shared[0])
    places = [member.place for member, _ in _planned_inputs(path) if output_hash(member) == one]
    raise UnseeError(
        f"{len(shared)} outputs would be written more than once, such as the map of both {places[0]} and {places[1]}: "
        "run them into separate output folders, or use --output-names key"
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
