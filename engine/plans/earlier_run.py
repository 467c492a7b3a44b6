"""What an earlier run made in its directory, so that exactly that may be replaced or removed."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import UnseeError
from ...files import sha256_of, temporary_of
from ..outputs.layout import MAP_SUFFIX, MASK_SUFFIX, PLAN_FILE, PLAN_ROWS_FILE, plan_files, rows_path
from ..outputs.output_formats import OutputFormat, RunFiles
from ..outputs.plan import SCHEMA, planned_rows, read_plan
from ..outputs.rows import Row, read_rows


def made_files(folder: Path, every: bool = True) -> Iterator[str]:
    """Yield the relative paths of the files that a folder's earlier run made or was to make, its plan last.

    every: its results too, not its plan alone. Where the plan is damaged only files count that are provably a run's: those
    of shards, and maps with their row's digest.
    """
    if every:
        yield from _results(folder)
    yield from (path for _, path in plan_files() if _is_plan(folder))


def forget(folder: Path) -> None:
    """Remove what an earlier run made, the folders that this empties, and last the plan: a killed `forget` is done again.

    Done-marks go before maps, so that a run which takes the plan up instead misses none.
    """
    if not _is_plan(folder):
        return
    emptied: set[Path] = set()
    for path in (folder / name for name in _results(folder)):
        temporary_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        emptied.add(path.parent)
    for parent in sorted(emptied - {folder}, reverse=True):
        _remove_empty(parent, folder)
    (folder / PLAN_FILE).unlink(missing_ok=True)


def has_plan(folder: Path) -> bool:
    """Tell whether a plan is in force in a folder, damaged or not."""
    return (folder / PLAN_FILE).exists()


def _is_plan(folder: Path) -> bool:
    """Tell whether a folder holds a plan, or the rows of one that was never put in force."""
    if has_plan(folder):
        return True
    return _schema_of(folder / PLAN_ROWS_FILE) >= {name for name in SCHEMA.names if name != "suffix"}


def _results(folder: Path) -> Iterator[str]:
    try:
        plan = read_plan(folder)
    except UnseeError:
        yield from _provably_made(folder)
        return
    for shard in range(plan.shards):
        yield from (path for _, path in plan.files.of_shard(shard))
    for planned, _ in planned_rows(folder / PLAN_ROWS_FILE, plan.shards):
        yield from (path for _, path in plan.files.of_image(planned.input.output))


def _provably_made(folder: Path) -> Iterator[str]:
    shards = _shards_of_a_run(folder)
    for shard in shards:
        for row in _readable_rows(folder, shard):
            files = {row.output + MAP_SUFFIX: row.map_sha256, row.output + MASK_SUFFIX: row.mask_sha256}
            yield from (path for path, sha256 in files.items() if sha256 and _digest_of(folder / path) == sha256)
    for shard in shards:
        for output_format in get_args(OutputFormat):
            yield from (path for _, path in RunFiles(output_format, masks=True).of_shard(shard))


def _readable_rows(folder: Path, shard: int) -> list[Row]:
    with suppress(UnseeError):
        return read_rows(rows_path(folder, shard))
    return []


def _shards_of_a_run(folder: Path) -> list[int]:
    """Return the numbers of the shards whose rows are in a folder."""
    names = sorted(path.stem for path in folder.glob("[0-9]*.parquet"))
    numbered = [name for name in names if name.isdigit() and f"{int(name):05d}" == name]
    return [
        int(name) for name in numbered if _schema_of(rows_path(folder, int(name))) >= {"key", "status", "map_sha256"}
    ]


def _schema_of(path: Path) -> set[str]:
    try:
        return set(pq.read_schema(path).names)
    except (OSError, ValueError, pa.ArrowException):
        return set()


def _digest_of(path: Path) -> str | None:
    with suppress(OSError):
        return sha256_of(path)
    return None


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and those above it, up to the top, as far as they are empty."""
    with suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent
