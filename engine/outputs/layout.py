"""What the files of a run directory are called, and how it is cut into shards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

OutputNames = Literal["mirror", "key"]

PLAN_FILE = "plan.json"
PLAN_ROWS_FILE = "plan.parquet"
ROWS_FILE = "{shard:05d}.parquet"
DONE_MARK = "{shard:05d}_stats.json"
JOURNAL_FILE = ".{shard:05d}.journal"
TAR_FILE = "{shard:05d}.tar"
ARRAY_FILE = "{shard:05d}.npy"
MASKS_FILE = "{shard:05d}_masks.npy"
MAP_SUFFIX = ".png"
MASK_SUFFIX = ".mask.png"

LONGEST_NAME = 255
"""Bytes that file systems allow a name to have."""


def rows_path(folder: Path, shard: int) -> Path:
    """Return the path of a shard's rows."""
    return folder / ROWS_FILE.format(shard=shard)


def done_mark(folder: Path, shard: int) -> Path:
    """Return the path of a shard's done-mark."""
    return folder / DONE_MARK.format(shard=shard)


def journal_path(folder: Path, shard: int) -> Path:
    """Return the path of the journal of a shard that is not done."""
    return folder / JOURNAL_FILE.format(shard=shard)


@dataclass(frozen=True)
class Sharding:
    """How a plan cuts its inputs into shards.

    samples: inputs in a shard. output_names: maps mirror the inputs' paths, or are called by shard and key.
    """

    samples: Annotated[int, "inputs that are finished and resumed together"] = 1000
    output_names: Annotated[OutputNames, "maps mirror their inputs' paths, or bear keys"] = "mirror"


def plan_files() -> Iterator[tuple[str, str]]:
    """Yield (what, path) of the files of the plan."""
    yield "plan", PLAN_FILE
    yield "plan", PLAN_ROWS_FILE
