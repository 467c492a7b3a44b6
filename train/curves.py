"""Figures of trainings: curves as CSV and PNG, and the papers' error tables (A-1, B-1)."""

import csv
import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import UnseeError
from ..files import atomic_path, write_bytes

CURVES_CSV = "curves.csv"
CURVES_PNG = "curves.png"
FIGURES_FILE = "figures.json"
TABLE = ("variant", "finetune", "data", "top-1", "top-5")
"""The figures of a classifier that its column of the papers' table shows."""


def write_curves(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a row of figures per epoch as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def draw_curves(
    path: Path,
    rows: Sequence[dict[str, Any]],
    names: Sequence[str] = ("top-1", "top-5"),
    label: str = "validation error, %",
) -> bool:
    """Draw the loss, and figures of some names beside it in per cent, by epoch as PNG; say whether matplotlib is there."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(8 if names else 4, 3), layout="constrained")
    left, *others = figure.subplots(1, 2 if names else 1, squeeze=False)[0]
    left.plot(epochs, [row["loss"] for row in rows], color="black")
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    for right in others:
        for name, style in zip(names, ("-", "--"), strict=False):
            right.plot(epochs, [100 * row[name] for row in rows], style, color="black", label=name)
        right.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        right.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return True


def error_table(checkpoints: Sequence[Path]) -> list[list[str]]:
    """Return the papers' table of errors as rows of cells, the first row its head: a column a checkpoint.

    Raises `UnseeError` on a directory without figures.
    """
    figures = [_figures(path) for path in checkpoints]
    heads = [f"{item['variant'].upper()} {item['finetune']}" for item in figures]
    rows = [["data", "error", *heads]]
    for data in dict.fromkeys(item["data"] for item in figures):
        for name in ("top-1", "top-5"):
            cells = [f"{100 * item[name]:.1f}%" if item["data"] == data else "" for item in figures]
            rows.append([data, name, *cells])
    return rows


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the first row the head, as a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]])


def _figures(directory: Path) -> dict[str, Any]:
    try:
        figures = json.loads((directory / FIGURES_FILE).read_text())
        return {name: figures[name] for name in TABLE}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnseeError(f"{directory}: not a trained classifier ({type(error).__name__}: {FIGURES_FILE})") from None
