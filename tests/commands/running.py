"""Running the real `unsee` command, as a user types it, and reading what it left."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

UNSEE = Path(sys.executable).parent / "unsee"
FAST = ("--iterations", "1", "--number-sample-per-shard", "4", "--batch-size", "3")
"""Options that make a run on a tiny model take no longer than its start."""


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code and what it printed, with lines unfolded."""

    code: int
    out: str
    err: str


def command(*arguments: object, executable: Path = UNSEE) -> list[str | bytes]:
    """Return the command line; bytes stay bytes, for names that are not UTF-8."""
    return [str(executable), *(item if isinstance(item, bytes) else str(item) for item in arguments)]


def unsee(
    *arguments: object,
    expect: int = 0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 240,
    executable: Path = UNSEE,
) -> Finished:
    """Run `unsee ARGUMENTS` and return what it left; fails on another exit code than `expect`, and on any traceback."""
    result = subprocess.run(
        command(*arguments, executable=executable),
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=(stdin or "").encode(),
        timeout=timeout,
    )
    finished = Finished(
        result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    )
    assert "Traceback" not in finished.err, finished.err
    assert finished.code == expect, f"exit code {finished.code}, expected {expect}:\n{finished.out}\n{finished.err}"
    return finished


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run directory in the plan's order."""
    return [row for path in sorted(folder.glob("[0-9]*.parquet")) for row in pq.read_table(path).to_pylist()]


def statuses(folder: Path, *columns: str) -> dict[str, Any]:
    """Return, by the name of each input, its status and error code, or the columns asked for."""
    wanted: Sequence[str] = columns or ("status", "error_code")
    return {Path(row["path"]).name: tuple(row[column] for column in wanted) for row in rows_of(folder)}


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes, by relative path."""
    return {os.fsdecode(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
