"""What an evaluation leaves behind: a parquet file of rows, a drawing of curves, a table on the terminal."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from ...extras import require
from ...files import atomic_path
from ...names import printable, shown
from .claims import SOFTWARE

if TYPE_CHECKING:
    from .evaluation_result import EvaluationResult

ROWS_PER_GROUP = 10_000
FEW_RESULTS = 3
TEXT_COLUMNS = ("method", "dataset", "key", "prediction", "mask", "status", "error_message", "doubts")
COLUMNS = (
    *((name, pa.string()) for name in TEXT_COLUMNS),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("empty_mask", pa.bool_()),
)


class RowWriter:
    """Writes rows to a parquet file, some thousand at a time; the file appears when the block ends well."""

    def __init__(self, path: Path, numbers: Sequence[str]) -> None:
        self.path = path
        self.schema = pa.schema([*COLUMNS, *((name, pa.float64()) for name in numbers)])
        self.rows: list[dict[str, Any]] = []
        self.stack = ExitStack()

    def __enter__(self) -> "RowWriter":
        temporary = self.stack.enter_context(atomic_path(self.path))
        self.writer = self.stack.enter_context(pq.ParquetWriter(temporary, self.schema))
        return self

    def write(self, row: dict[str, Any]) -> None:
        """Add a row; columns that it does not name are null."""
        self.rows.append({name: printable(value) if isinstance(value, str) else value for name, value in row.items()})
        if len(self.rows) >= ROWS_PER_GROUP:
            self._flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self.stack.__exit__(kind, error, trace)

    def _flush(self) -> None:
        self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows = []


def draw_curves(path: Path, results: Sequence["EvaluationResult"]) -> None:
    """Draw precision over recall and F over the threshold, one line a result; needs the fmeasure metric."""
    figure_module = require("matplotlib.figure", "report", "drawing curves")
    figure = figure_module.Figure(figsize=(10, 4.5), layout="constrained")
    precision_recall, f_measure = figure.subplots(1, 2)
    for result in results:
        curves, thresholds = result.metrics.curves, result.metrics.thresholds
        if "fmeasure" not in curves:
            continue
        name = " ".join(filter(None, (result.method, result.dataset))) or result.metrics.protocol
        label = shown(name).replace("$", r"\$")  # a dollar begins a formula
        precision_recall.plot(curves["recall"], curves["precision"], label=label)
        f_measure.plot(thresholds / thresholds[-1], curves["fmeasure"], label=label)
    precision_recall.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    f_measure.set(xlabel="threshold", ylabel="F-measure", xlim=(0, 1), ylim=(0, 1))
    if f_measure.get_lines():
        f_measure.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": SOFTWARE})


LEGEND = {
    "mae": "mean absolute error",
    "sm": "S-measure",
    "wfm": "weighted F-measure",
    **{
        f"{way}{name}": f"{title}, {said}"
        for name, title in {"fmeasure": "F-measure", "em": "E-measure", "iou": "intersection over union"}.items()
        for way, said in {
            "max": "best threshold of the set",
            "imagemax": "best threshold of each image",
            "avg": "mean over thresholds",
            "adp": "at twice the mean of each map",
        }.items()
    },
}


def results_table(results: Sequence["EvaluationResult"]) -> Table:
    """Scores to three decimals, with what they depend on in the caption: a line a result, or a column if there are few."""
    first = results[0]
    resized = f"maps resized as {first.resize} does"
    caption = f"protocol {first.metrics.protocol}, {resized}; its F-measure is {first.metrics.headline}"
    hidden = [name for name in first.metrics.scores if name.startswith(("bin", "imagemax"))]
    names = [name for name in first.metrics.scores if name not in hidden or name == first.metrics.headline]
    lines = [
        ["method", "dataset", "images", "empty masks", "missing", "unreadable", *names],
        *(_result_cells(result, names) for result in results),
    ]
    if len(results) <= FEW_RESULTS:
        lines = [[*line, LEGEND.get(line[0], "")] for line in zip(*lines, strict=True) if any(line[1:])]
    table = Table(caption=caption, show_header=len(results) > FEW_RESULTS)
    for place, title in enumerate(lines[0]):
        explains = len(results) <= FEW_RESULTS and place == len(lines[0]) - 1
        table.add_column(title, justify="left" if place == 0 or explains else "right")
    for line in lines if len(results) <= FEW_RESULTS else lines[1:]:
        table.add_row(*line)
    return table


def _result_cells(result: "EvaluationResult", names: Sequence[str]) -> list[str]:
    metrics = result.metrics
    counts = (metrics.images, metrics.empty_masks, len(result.missing), len(result.unreadable))
    scores = [f"{metrics.scores.get(name, float('nan')):.3f}" for name in names]
    return [shown(result.method), shown(result.dataset), *map(str, counts), *scores]
