"""The plan of a run, frozen before the first image: every input, its key, its output and its shard."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import UnseeError
from ...files import write_json
from ...parquet import column
from ..inputs.input import Input
from .layout import PLAN_FILE, PLAN_ROWS_FILE
from .output_formats import RunFiles
from .rows import Retry

PLAN_VERSION = 1
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
        ("suffix", pa.binary()),
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

    @property
    def shard(self) -> int:
        """The number of its shard."""
        return int(self.key[:5])


@dataclass(frozen=True)
class Plan:
    """A frozen run.

    count, shards: of inputs and of shards. identity: what decides the output's bytes. fingerprint: of the inputs. left_out:
    what of the sources is no input, counted by reason. started_in: folder that relative paths are seen from.
    """

    folder: Path
    count: int
    shards: int
    identity: dict[str, Any]
    fingerprint: str
    left_out: dict[str, int] = field(default_factory=dict)
    started_in: str = ""

    def rows(self, shard: int) -> list[PlannedInput]:
        """Read the inputs of one shard."""
        path = self.folder / PLAN_ROWS_FILE
        table = pq.ParquetFile(path, metadata=rows_metadata(path)).read_row_group(shard)
        return [planned_input(row) for row in table.to_pylist()]

    def inputs(self) -> Iterator[tuple[Input, int]]:
        """Yield every planned input with the size its file had."""
        return ((planned.input, size) for planned, size in planned_rows(self.folder / PLAN_ROWS_FILE, self.shards))

    @property
    def files(self) -> RunFiles:
        """Which files the run writes."""
        masks = self.identity.get("segmentation", {}).get("segment", "none") != "none"
        return RunFiles(self.identity.get("output_format", "files"), masks)

    def write(self) -> None:
        """Write plan.json, which puts the rows beside it in force."""
        value = {
            "version": PLAN_VERSION,
            "count": self.count,
            "shards": self.shards,
            "fingerprint": self.fingerprint,
            "left_out": self.left_out,
            "started_in": self.started_in,
            "identity": self.identity,
        }
        write_json(self.folder / PLAN_FILE, value)


def rows_metadata(path: Path) -> pq.FileMetaData:
    """Return where the shards of a plan are, read once: it takes longer the more there are, and every one asks for it."""
    return _metadata(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _metadata(path: Path, changed: int) -> pq.FileMetaData:  # noqa: ARG001 - a file that is changed is another one
    return pq.read_metadata(path)


def read_plan(folder: Path) -> Plan:
    """Read the plan of a run directory."""
    path = folder / PLAN_FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["version"] != PLAN_VERSION:
            raise UnseeError(f"{path}: version {value['version']}, this unsee reads {PLAN_VERSION}")
        identity, left_out = dict(value["identity"]), dict(value.get("left_out", {}))
        count, shards = int(value["count"]), int(value["shards"])
        started_in = str(value.get("started_in", ""))
        plan = Plan(folder, count, shards, identity, str(value["fingerprint"]), left_out, started_in)
    except OSError as error:
        raise UnseeError(f"{folder}: not a run directory ({error.strerror}: {PLAN_FILE})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None
    _check_rows(plan)
    return plan


def _check_rows(plan: Plan) -> None:
    path = plan.folder / PLAN_ROWS_FILE
    try:
        groups = rows_metadata(path).num_row_groups
        if not 0 < plan.shards <= groups:
            raise ValueError(f"{groups} shards, but {PLAN_FILE} says {plan.shards}")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UnseeError:
    return UnseeError(f"{path}: damaged ({type(error).__name__}: {error}); --overwrite starts the run anew")


class Columns(NamedTuple):
    """Rows of a plan as they are stored, a list a column, without the sizes of the files."""

    key: list[str]
    path: list[bytes]
    output: list[bytes]
    offset: list[int | None]
    size: list[int | None]
    row: list[int | None]
    problem: list[str | None]
    suffix: list[bytes]

    def table(self, sizes: list[int]) -> pa.Table:
        """Return the rows as a table."""
        columns = (*self[:-1], sizes, self.suffix)
        return pa.table([column(values, kind) for values, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


def plan_columns(keys: list[str], inputs: Sequence[Input]) -> Columns:
    """Return inputs as a plan stores them."""
    return Columns(
        keys,
        [os.fsencode(member.path) for member in inputs],
        [os.fsencode(member.output) for member in inputs],
        [member.offset for member in inputs],
        [member.size for member in inputs],
        [member.row for member in inputs],
        [member.problem for member in inputs],
        [os.fsencode(member.suffix) for member in inputs],
    )


def planned_input(row: dict[str, Any]) -> PlannedInput:
    """Return an input as `plan_columns` stored it; the first plans had no suffixes."""
    place = {name: row[name] for name in PLACE}
    path, output, suffix = (os.fsdecode(row.get(name) or b"") for name in ("path", "output", "suffix"))
    return PlannedInput(row["key"], Input(path, output, **place, suffix=suffix))


def row_columns(path: Path, *names: str) -> Iterator[list[list[Any]]]:
    """Yield columns of a plan's rows, some thousand inputs at a time, as they are stored."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=4096, columns=list(names)):
        yield [batch.column(name).to_pylist() for name in names]


def planned_rows(path: Path, shards: int | None = None) -> Iterator[tuple[PlannedInput, int]]:
    """Yield the inputs of a plan's first shards, all where None, each with the size its file had.

    What follows them was being added when a run was killed, and is not in force.
    """
    file = pq.ParquetFile(path)
    groups = list(range(file.num_row_groups if shards is None else shards))
    for batch in file.iter_batches(batch_size=4096, row_groups=groups):
        for row in batch.to_pylist():
            yield planned_input(row), row["bytes"]


@dataclass(frozen=True)
class ShardJob:
    """A shard to run. retry: what to try again of a shard that is done, besides maps that are gone; None for all of it."""

    shard: int
    retry: Retry | None = None
