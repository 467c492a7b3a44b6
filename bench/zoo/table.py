"""The table of a library's classifiers: each in a process of its own, one after another, taken up where it was left."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ...errors import UnseeError
from ...files import write_json
from ...terminal import stderr, stdout
from ..speed.machine import machine

STATUSES = ("exported", "wrong", "refused", "failed")
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
LAST_LINES = 300
"""Characters of what a failed process said that are kept."""


def names_of(library: str) -> list[str]:
    """Return the names of the classifiers in a library's table: all of torchvision's, one a family of timm's."""
    from ...train.networks.libraries import torchvision_models
    from .families import TIMM

    if library == "torchvision":
        return [f"torchvision:{name}" for name in torchvision_models.names()]
    if library == "timm":
        return [f"timm:{name}" for name in TIMM.values()]
    raise UnseeError(f"tables are made of torchvision and timm, not of {library!r}")


def bench_zoo(library: str, output: Path, only: str | None = None, timeout: float = 3600.0) -> dict[str, Any]:
    """Measure every classifier of a library that `output` lacks, and print and keep the table.

    only: a pattern that the names must hold. timeout: seconds for one of them. Returns the summary, which is the last line
    printed, as JSON.
    """
    rows = {row["model"]: row for row in json.loads(output.read_text())["models"]} if output.exists() else {}
    wanted = [name for name in names_of(library) if not only or re.search(only, name)]
    with Progress(*COLUMNS, console=stderr()) as progress:
        for row in _measured([name for name in wanted if name not in rows], timeout, progress):
            rows[row["model"]] = row
            write_json(output, {"machine": machine(), "summary": summary(rows.values()), "models": [*rows.values()]})
    for line in table([rows[name] for name in wanted]):
        stdout().print(line)
    found = summary([rows[name] for name in wanted])
    stdout().print_json(json.dumps(found), indent=None)
    return found


def _measured(names: Sequence[str], timeout: float, progress: Progress) -> Iterator[dict[str, Any]]:
    task = progress.add_task("", total=len(names))
    for name in names:
        progress.update(task, description=name)
        yield _in_process(name, timeout)
        progress.advance(task)


def _in_process(name: str, timeout: float) -> dict[str, Any]:
    """Measure a classifier where it may use all memory, or die."""
    command = [sys.executable, "-W", "ignore", "-m", f"{__package__}.one_model", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"model": name, "status": "failed", "reason": f"not done after {timeout:.0f} s"}
    if done.returncode:
        reason = " ".join(done.stderr.split())[-LAST_LINES:] or f"exit code {done.returncode}"
        return {"model": name, "status": "failed", "reason": reason}
    return json.loads(done.stdout.strip().splitlines()[-1])


def summary(rows: Any) -> dict[str, Any]:
    """Return how many there are of each status, and the median ratio to eager PyTorch of those that are right."""
    rows = list(rows)
    counts = {status: sum(row["status"] == status for row in rows) for status in STATUSES}
    right = [row for row in rows if row["status"] == "exported"]
    medians = {
        f"median_{name}": float(np.median([row[name] for row in right]))
        for name in ("times_eager", "times_faster_eager", "error")
        if right
    }
    return {"models": len(rows), **counts, **medians}


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the table's lines in Markdown."""
    yield "| model | pixels | parameters, M | export, s | error | eager's | ms | eager's | times eager | times the faster |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        name = row["model"].partition(":")[2]
        if "times_eager" not in row:
            yield f"| {name} | {row['status']}: {row.get('reason', '')} |"
            continue
        wrong = " WRONG" if row["status"] == "wrong" else ""
        yield (
            f"| {name}{wrong} | {row['size']} | {row['parameters'] / 1e6:.1f} | {row['export_seconds']:.0f} "
            f"| {row['error']:.1e} | {row['eager_error']:.1e} | {row['onnxruntime_ms']:.0f} | {row['eager_ms']:.0f} "
            f"| {row['times_eager']:.2f} | {row['times_faster_eager']:.2f} |"
        )
