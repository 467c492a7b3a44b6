"""`unsee report`: a static page of a run to look through, or of the images on which two runs differ most.

The page is one HTML file that makes no network requests; pictures are linked by relative paths, or, where a run keeps
them in archives, written beside the page.
"""

import heapq
import io
import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from ..engine.config import OutputFormat
from ..engine.decoding import DecodingConfig, DecodingError, decode
from ..engine.done_marks import is_done
from ..engine.inputs import Input, ReadingError, is_url, read
from ..engine.plan import Plan, PlannedInput, read_plan
from ..engine.rows import SUCCESS, Row, Stored
from ..engine.status import Summary, summarize
from ..engine.stored import map_reader, stored_rows
from ..errors import UnseeError
from ..extras import require
from ..files import write_bytes
from .evaluate import EvaluationConfig, EvaluationResult, evaluate

MOST_COPIES = 2000
"""Pictures that are written beside a page because they lie in archives; the rows beyond show text alone."""
THUMBNAIL = 320
SORTS = (
    ("plan", "in the plan's order"),
    ("score:down", "highest score first"),
    ("score:up", "lowest score first"),
    ("mass:down", "largest map mass first"),
    ("mass:up", "smallest map mass first"),
    ("error:down", "failures first"),
)
ERROR_SORTS = (("mae:down", "largest error against the mask first"), ("mae:up", "smallest error first"))
BINS = 25
"""Bars of the histogram of errors."""
SCORES = {
    "maxfmeasure": "max F",
    "avgfmeasure": "mean F",
    "adpfmeasure": "F at twice the mean",
    "binfmeasure": "F at one half",
    "mae": "MAE",
}
DIFFERENCE_SORT = ("difference:down", "largest difference first")


@dataclass(frozen=True)
class Finished:
    """An input of a finished shard with its row and its stored map, PNG bytes; None for a failure or an array."""

    planned: PlannedInput
    row: Row
    data: bytes | None


@dataclass(frozen=True)
class Scored:
    """Scores of a run; files: mask and mean absolute error of each map by its path."""

    result: EvaluationResult
    files: dict[str, tuple[Path, float]]


def report(folder: Path, output: Path | None = None, masks: Path | None = None) -> Path:
    """Write the page of a run directory and return its path; masks: folder of masks to score the maps against.

    Raises `UnseeError` where the folder is no run directory, or masks are given for a run whose maps are not files.
    """
    output = output or folder / "report.html"
    plan, summary = read_plan(folder), summarize(folder)
    scored = _scored(plan, masks) if masks else None
    pictures = Pictures(plan, output.parent)
    rows = [_entry(finished, pictures) for finished in finished_inputs(plan)]
    if scored:
        rows = [
            _with_mask(row, finished, pictures, scored)
            for row, finished in zip(rows, finished_inputs(plan), strict=True)
        ]
    _write_page(
        output,
        title=f"unsee: {folder.name or folder}",
        facts=_facts(plan, summary, scored.result if scored else None),
        stages=_stages(summary),
        errors=[item for item in summary.statuses.most_common() if item[0] != SUCCESS],
        curves=_curves(scored) if scored else [],
        protocol=scored.result.metrics.protocol if scored else "",
        sorts=(*SORTS, *(ERROR_SORTS if scored else ())),
        pictures=["image", "what the map keeps of it", "map", *(["mask"] if masks else [])],
        rows=rows,
    )
    return output


def compare(first: Path, second: Path, output: Path | None = None, most: int = 200) -> Path:
    """Write a page of the images on which the maps of two runs differ most, by mean absolute difference; return its path."""
    output = output or first / "compare.html"
    plans = read_plan(first), read_plan(second)
    differing = heapq.nlargest(most, _differences(*plans), key=lambda item: item[0])
    pictures = [Pictures(plan, output.parent, prefix) for plan, prefix in zip(plans, ("a", "b"), strict=True)]
    rows = []
    for difference, one, other in differing:
        entry = _entry(one, pictures[0])
        text = f"differs by {255 * difference:.1f} of 255 levels; {one.row.label_name} / {other.row.label_name}"
        rows.append(entry | {"maps": entry["maps"] + pictures[1].maps(other), "difference": difference, "text": text})
    _write_page(
        output,
        title=f"unsee: {first.name} and {second.name}",
        facts=[("first", first), ("second", second), ("shown", f"the {len(rows)} images that differ most")],
        sorts=(DIFFERENCE_SORT, *SORTS[:3]),
        pictures=["image", "what the first map keeps of it", "first map", "second map"],
        rows=rows,
    )
    return output


def finished_inputs(plan: Plan) -> Iterator[Finished]:
    """Yield what became of every input of the finished shards, in the plan's order."""
    output_format: OutputFormat = plan.identity["output_format"]
    for shard in range(plan.shards):
        if is_done(plan.folder, shard):
            read_map = map_reader(plan.folder, shard, output_format)
            for planned, row in zip(plan.rows(shard), stored_rows(plan.folder, shard), strict=True):
                has_map = row.status == SUCCESS and output_format in ("files", "webdataset", "parquet")
                yield Finished(planned, row, _saliency(read_map(planned)) if has_map else None)


def _saliency(stored: Stored | None) -> bytes | None:
    return stored.saliency if stored else None


class Pictures:
    """Finds or makes the pictures that a page links to."""

    def __init__(self, plan: Plan, folder: Path, prefix: str = "") -> None:
        self.plan = plan
        self.folder = folder.resolve()
        self.copies = self.folder / f"report_files{prefix}"
        self.count = 0

    def image(self, finished: Finished) -> str | None:
        """Return the link to the original, a thumbnail where it lies in an archive."""
        member = finished.planned.input
        if member.offset is None and member.row is None and not is_url(member.path):
            return self.link(Path(member.path))
        return (
            self._copy(f"{finished.row.key}.jpg", _thumbnail(member, finished.row))
            if finished.row.status == SUCCESS
            else None
        )

    def maps(self, finished: Finished) -> list[str]:
        """Return the link to the map, if there is one."""
        if finished.data is None:
            return []
        if self.plan.identity["output_format"] == "files":
            return [self.link(self.plan.folder / f"{finished.planned.input.output}.png")]
        link = self._copy(f"{finished.row.key}.png", finished.data)
        return [link] if link else []

    def link(self, path: Path) -> str:
        """Return the link to a file from the page."""
        return quote(os.path.relpath(path.resolve(), self.folder))

    def _copy(self, name: str, data: bytes | None) -> str | None:
        if data is None or self.count >= MOST_COPIES:
            return None
        self.count += 1
        self.copies.mkdir(parents=True, exist_ok=True)
        write_bytes(self.copies / name, data)
        return self.link(self.copies / name)


def _thumbnail(member: Input, row: Row) -> bytes | None:
    try:
        square = decode(read(member), DecodingConfig(THUMBNAIL)).pixels
    except (ReadingError, DecodingError):
        return None
    width, height = row.width or 1, row.height or 1
    scale = THUMBNAIL / max(width, height)
    buffer = io.BytesIO()
    size = max(1, round(width * scale)), max(1, round(height * scale))
    Image.fromarray(square).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def _entry(finished: Finished, pictures: Pictures) -> dict[str, Any]:
    row = finished.row
    failed = row.status != SUCCESS
    found = f"{row.label_name} {row.score:.3f}, map mass {row.map_mean:.3f}" if row.score is not None else ""
    return {
        "path": row.path,
        "image": pictures.image(finished),
        "maps": pictures.maps(finished),
        "label": row.label_name,
        "score": row.score,
        "mass": row.map_mean,
        "error": int(failed),
        "failed": failed,
        "text": f"{row.status}: {row.error_code}: {row.error_message}" if failed else found,
    }


def _facts(plan: Plan, summary: Summary, scored: EvaluationResult | None) -> list[tuple[str, Any]]:
    identity = plan.identity
    facts = [
        ("model", f"{identity.get('model')} on {identity.get('device')} ({identity.get('backend')})"),
        ("preset", identity.get("name")),
        ("shards", f"{summary.shards} of {summary.planned_shards} done"),
        ("images", f"{summary.count} of {summary.planned} done, {summary.failed} failed"),
        ("images/s", f"{summary.rate:.2f}, one shard after the other"),
    ]
    if scored:
        scores = ", ".join(f"{title} {scored.metrics.scores[name]:.3f}" for name, title in SCORES.items())
        facts.append((f"scores ({scored.metrics.protocol})", f"{scores}; {len(scored.missing)} masks without a map"))
    return facts


def _stages(summary: Summary) -> list[tuple[str, float]]:
    milliseconds = {stage: 1000 * spent / max(summary.count, 1) for stage, spent in summary.stage_seconds.items()}
    return sorted(milliseconds.items(), key=lambda item: -item[1])


def _scored(plan: Plan, masks: Path) -> Scored:
    if plan.identity["output_format"] != "files":
        raise UnseeError("masks need a run whose maps are files: --output-format files")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        result = evaluate(plan.folder, masks, EvaluationConfig(metrics=("fmeasure", "mae")), per_image=path)
        rows = pq.read_table(path, columns=["prediction", "mask", "mae"]).to_pylist()
    files = {row["prediction"]: (Path(row["mask"]), row["mae"]) for row in rows if row["mae"] is not None}
    return Scored(result, files)


def _with_mask(row: dict[str, Any], finished: Finished, pictures: Pictures, scored: Scored) -> dict[str, Any]:
    """Return a row with the link to its mask and its error, where it has any."""
    mask, error = scored.files.get(str(pictures.plan.folder / f"{finished.planned.input.output}.png"), (None, None))
    if mask is None or error is None:
        return row
    return {**row, "mask": pictures.link(mask), "mae": error, "text": f"{row['text']}, error {error:.3f}"}


def _curves(scored: Scored) -> list[dict[str, Any]]:
    metrics = scored.result.metrics
    thresholds = metrics.thresholds / max(metrics.thresholds[-1], 1)
    shares = np.histogram([error for _, error in scored.files.values()], BINS, (0, 1))[0] / max(len(scored.files), 1)
    top = max(math.ceil(20 * shares.max()), 1) / 20
    edges = np.linspace(0, 1, BINS + 1)
    bars = _path(np.repeat(edges, 2), np.concatenate([[0], np.repeat(shares / top, 2), [0]]))
    curves = metrics.curves
    precision = {"x": "recall", "y": "precision", "path": _path(curves["recall"], curves["precision"])}
    return [
        {"title": "precision and recall", **precision},
        {
            "title": "F-measure over the threshold",
            "x": "threshold",
            "y": "F",
            "path": _path(thresholds, curves["fmeasure"]),
        },
        {
            "title": "errors of images",
            "x": "mean absolute error",
            "y": "share of images",
            "top": top,
            "path": f"{bars}Z",
        },
    ]


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.4f} {1 - b:.4f}" for a, b in zip(x, y, strict=True))


def _differences(first: Plan, second: Plan) -> Iterator[tuple[float, Finished, Finished]]:
    """Yield the mean absolute difference, 0 to 1, of the maps of every image that both runs have."""
    output_format: OutputFormat = second.identity["output_format"]
    places = {row.path: (shard, planned, row) for shard, planned, row in _successes(second)}
    reader = lru_cache(maxsize=4)(partial(map_reader, second.folder, output_format=output_format))
    for one in finished_inputs(first):
        if one.data is not None and one.row.path in places:
            shard, planned, row = places[one.row.path]
            other = Finished(planned, row, _saliency(reader(shard)(planned)))
            if other.data is not None:
                yield _difference(one.data, other.data), one, other


def _successes(plan: Plan) -> Iterator[tuple[int, PlannedInput, Row]]:
    for shard in filter(partial(is_done, plan.folder), range(plan.shards)):
        for planned, row in zip(plan.rows(shard), stored_rows(plan.folder, shard), strict=True):
            if row.status == SUCCESS:
                yield shard, planned, row


def _difference(first: bytes, second: bytes) -> float:
    one, other = (np.asarray(Image.open(io.BytesIO(data)), np.float32) for data in (first, second))
    return float(np.abs(one - other).mean() / 255) if one.shape == other.shape else 1.0


def common_folder(paths: list[str]) -> str:
    """Return the folders that paths or URLs begin with in common, with a slash; empty where there are none."""
    parts = [path.split("/")[:-1] for path in (min(paths), max(paths))] if paths else [[], []]
    same = takewhile(lambda pair: pair[0] == pair[1], zip(*parts, strict=False))
    return "".join(f"{folder}/" for folder, _ in same)


def _write_page(output: Path, rows: list[dict[str, Any]], facts: list[tuple[str, Any]], **values: Any) -> None:
    below = common_folder([row["path"] for row in rows])
    rows = [{**row, "path": row["path"][len(below) :]} for row in rows]
    facts = [*facts, ("paths below", below)] if below else facts
    jinja2 = require("jinja2", "report", "unsee report")
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True).get_template("report.html")
    markup = require("markupsafe", "report", "unsee report")
    # Inside a script element only "</" and "<!--" could end the data early.
    data = markup.Markup(json.dumps(rows, separators=(",", ":")).replace("<", "\\u003c"))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, template.render(data=data, facts=facts, **values).encode())
