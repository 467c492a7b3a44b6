"""The plan of a run, frozen before the first image: every input, its key, its output and its shard."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UnseeError
from ..files import atomic_path, write_json
from .pipeline import batched
from .sources import Input, inputs_of

PLAN_VERSION = 1
PLAN_FILE = "plan.json"
ROWS_FILE = "plan.parquet"
SCHEMA = pa.schema([("key", pa.string()), ("path", pa.binary()), ("output", pa.binary())])
"""Paths are bytes, as the file system has them: a name need not be valid UTF-8."""


@dataclass(frozen=True)
class PlannedInput:
    """One row of the plan. key: shard (5 digits) and place in it (4). output: see `Input`."""

    key: str
    path: str
    output: str


@dataclass(frozen=True)
class Plan:
    """A frozen run: the number of inputs and shards, what decides the output's bytes, and a digest of the inputs."""

    folder: Path
    count: int
    shards: int
    identity: dict[str, Any]
    fingerprint: str

    def rows(self, shard: int) -> list[PlannedInput]:
        """Read the inputs of one shard."""
        table = pq.ParquetFile(self.folder / ROWS_FILE).read_row_group(shard)
        return [_planned(row) for row in table.to_pylist()]


def make_plan(folder: Path, sources: tuple[str, ...], identity: dict[str, Any], samples_per_shard: int) -> Plan:
    """Freeze a plan in `folder`, or check that the one which is there is the same.

    Raises `UnseeError` naming the difference when the configuration or the inputs have changed, when two inputs would
    write one output, when there is no input, and when the output folder and an input folder are the same or nested.
    """
    _refuse_nesting(folder, sources)
    if (folder / PLAN_FILE).exists():
        return _resumed(folder, sources, identity)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / ROWS_FILE) as temporary:
        count, fingerprint = _write_rows(temporary, inputs_of(sources), samples_per_shard)
    plan = Plan(folder, count, -(-count // samples_per_shard), identity, fingerprint)
    value = {"version": PLAN_VERSION, "count": count, "shards": plan.shards, "fingerprint": fingerprint}
    write_json(folder / PLAN_FILE, {**value, "identity": identity})
    return plan


def _refuse_nesting(folder: Path, sources: tuple[str, ...]) -> None:
    output = folder.resolve()
    for source in sources:
        path = Path(source).resolve()
        if path.is_dir() and (output.is_relative_to(path)):
            raise UnseeError(f"the output folder {folder} lies in the input folder {source}: choose one outside it")


def _resumed(folder: Path, sources: tuple[str, ...], identity: dict[str, Any]) -> Plan:
    plan = read_plan(folder)
    changes = _differences(plan.identity, identity)
    if changes:
        raise UnseeError(
            f"{folder} holds a run with another configuration ({'; '.join(changes)}): "
            "use the same options, another output folder, or --overwrite"
        )
    count, fingerprint = _fingerprint(inputs_of(sources))
    if fingerprint != plan.fingerprint:
        raise UnseeError(
            f"{folder} was planned for other inputs ({plan.count} then, {count} now): "
            "restore them, or use another output folder, or --overwrite"
        )
    return plan


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


def _write_rows(path: Path, inputs: Iterable[Input], samples_per_shard: int) -> tuple[int, str]:
    """Stream the inputs into a parquet file, a row group a shard; return their count and fingerprint."""
    digest = hashlib.sha256()
    outputs = array("Q")  # 8 bytes an input are all that planning keeps of it
    count = 0
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for shard, members in enumerate(batched(inputs, samples_per_shard)):
            writer.write_table(_table(shard, members), row_group_size=samples_per_shard)
            for member in members:
                digest.update(_identity_of(member))
                outputs.append(_hash_of(member.output))
            count += len(members)
    if count == 0:
        raise UnseeError("no images among the inputs")
    _refuse_collisions(np.frombuffer(outputs, np.uint64), path)
    return count, digest.hexdigest()


def _table(shard: int, members: list[Input]) -> pa.Table:
    keys = [f"{shard:05d}{place:04d}" for place in range(len(members))]
    paths = [os.fsencode(member.path) for member in members]
    outputs = [os.fsencode(member.output) for member in members]
    return pa.table([keys, paths, outputs], SCHEMA)


def _planned(row: dict[str, Any]) -> PlannedInput:
    return PlannedInput(row["key"], os.fsdecode(row["path"]), os.fsdecode(row["output"]))


def _fingerprint(inputs: Iterable[Input]) -> tuple[int, str]:
    digest = hashlib.sha256()
    count = 0
    for count, member in enumerate(inputs, 1):
        digest.update(_identity_of(member))
    return count, digest.hexdigest()


def _identity_of(member: Input) -> bytes:
    """Return path and size: a changed file is noticed without reading it."""
    try:
        size = Path(member.path).stat().st_size
    except OSError:
        size = -1
    return os.fsencode(f"{member.path}\0{size}\n")


def _hash_of(output: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(output), digest_size=8).digest(), "little")


def _refuse_collisions(outputs: np.ndarray, path: Path) -> None:
    values, counts = np.unique(outputs, return_counts=True)
    shared = set(values[counts > 1].tolist())
    if not shared:
        return
    one = min(shared)
    paths = [row.path for row in _all_rows(path) if _hash_of(row.output) == one]
    raise UnseeError(
        f"{len(shared)} outputs would be written more than once, such as the map of both {paths[0]} and {paths[1]}: "
        "run them into separate output folders"
    )


def _all_rows(path: Path) -> Iterator[PlannedInput]:
    for batch in pq.ParquetFile(path).iter_batches():
        yield from map(_planned, batch.to_pylist())


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    changes: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            changes.append(f"{prefix}{key}: {old} then, {new} now")
    return changes
