"""`unsee report`: a static page of a run to look through.

The page is one HTML file that makes no network requests; pictures are linked by relative paths, or, where a run keeps
them in archives, written beside the page.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...engine.methods.method_config import CLASSIFIER_METHODS
from ...engine.outputs.plan import Plan, read_plan
from ...engine.outputs.rows import SUCCESS, Row
from ...engine.status import Summary, summarize
from .finished import Finished, finished_inputs
from .html import claim_page, write_page
from .pictures import Pictures
from .run_scores import RunScores, score_run

SORTS = (
    ("plan", "in the plan's order"),
    ("score:down", "highest score first"),
    ("score:up", "lowest score first"),
    ("mass:down", "largest map mass first"),
    ("mass:up", "smallest map mass first"),
    ("error:down", "failures first"),
)
ERROR_SORTS = (
    ("mae:down", "largest error against the mask first"),
    ("mae:up", "smallest error first"),
    ("f:up", "smallest F first"),
    ("f:down", "largest F first"),
)
FIGURES = (
    ("mass", "map mass"),
    ("share", "share of the frame"),
    ("objectness", "objectness"),
    ("score", "score"),
)
SCORE_FIGURES = (("mae", "error"), ("f", "F"))
BINS = 25
"""Bars of the histogram of errors."""


def report(
    folder: Path,
    output: Path | None = None,
    masks: Path | None = None,
    messages: Console | None = None,
    portable: bool = False,
) -> Path:
    """Write the page of a run directory and return its path; masks: folder of masks to score the maps against.

    portable: the page holds its pictures, made smaller. messages: told what is missing or doubtful. Raises `UnseeError`
    where the folder is no run directory, or masks are given for a run whose maps are not files, `OutputError` where the
    page cannot be written.
    """
    output = output or folder / "report.html"
    plan, summary = read_plan(folder), summarize(folder)
    claim_page(output)
    if messages and summary.shards < summary.planned_shards:
        messages.print(f"note: {folder} is not finished: {summary.shards} of {summary.planned_shards} shards are done")
    scored = score_run(plan, masks, messages) if masks else None
    pictures = Pictures(plan, output, portable=portable)
    rows, looked = [], False
    for finished in finished_inputs(plan):
        if not looked and finished.row.status == SUCCESS:
            looked = True
            say_what_is_missing(pictures, finished, messages)
        rows.append(_with_mask(entry(finished, pictures), finished, pictures, scored))
    write_page(
        output,
        title=f"unsee: {folder.name or folder}",
        facts=_facts(plan, summary, scored),
        stages=_stages(summary),
        errors=[item for item in summary.statuses.most_common() if item[0] != SUCCESS],
        curves=_curves(scored) if scored else [],
        protocol=scored.result.metrics.protocol if scored else "",
        sorts=(*SORTS, *(ERROR_SORTS if scored else ())),
        figures=(*FIGURES, *(SCORE_FIGURES if scored else ())),
        pictures=["image", "what the map keeps of it", "map", *(["mask"] if masks else [])],
        rows=rows,
    )
    return output


def say_what_is_missing(pictures: Pictures, first: Finished, messages: Console | None) -> None:
    """Say where the first of the images was looked for, if it is not there: the others will be missing too."""
    if messages and not pictures.is_there(first):
        path = first.planned.input.path
        where = pictures.start or Path.cwd()
        messages.print(
            f"warning: {path} is not below {where}, so the page shows no photographs: "
            "move it back, or run unsee report in the folder in which the run was started"
        )


def entry(finished: Finished, pictures: Pictures) -> dict[str, Any]:
    """Return what the page knows of an input."""
    row = finished.row
    failed = row.status != SUCCESS
    return {
        "path": row.path,
        "image": pictures.image(finished),
        "maps": pictures.maps(finished),
        "label": row.label_name,
        "score": row.score,
        "mass": row.map_mean,
        "share": row.object_share,
        "objectness": row.objectness,
        "error": int(failed),
        "failed": failed,
        "text": f"{row.status}: {row.error_code}: {row.error_message}" if failed else _found(row),
    }


def _found(row: Row) -> str:
    """Return what a success found, as far as its method tells."""
    names = [name for name in (row.label_name, None if row.score is None else f"{row.score:.3f}") if name is not None]
    mass = [] if row.map_mean is None else [f"map mass {row.map_mean:.3f}"]
    return ", ".join([*([" ".join(names)] if names else []), *mass])


def _facts(plan: Plan, summary: Summary, scored: RunScores | None) -> list[tuple[str, Any]]:
    identity = plan.identity
    facts = [
        ("model", f"{identity.get('model')} on {identity.get('device')} ({identity.get('backend')})"),
        *([("preset", identity.get("name"))] if identity.get("method") in CLASSIFIER_METHODS else []),
        ("shards", f"{summary.shards} of {summary.planned_shards} done"),
        ("images", f"{summary.count} of {summary.planned} done, {summary.failed} failed"),
        ("images/s", f"{summary.rate:.2f}, one shard after the other"),
    ]
    if scored:
        facts.append((f"scores ({scored.result.metrics.protocol})", scored.fact()))
    return facts


def _stages(summary: Summary) -> list[tuple[str, float]]:
    milliseconds = {stage: 1000 * spent / max(summary.count, 1) for stage, spent in summary.stage_seconds.items()}
    return sorted(milliseconds.items(), key=lambda item: -item[1])


def _with_mask(row: dict[str, Any], finished: Finished, pictures: Pictures, scored: RunScores | None) -> dict[str, Any]:
    """Return a row with the link to its mask and its error, where it has any."""
    found = scored.of(pictures.plan.folder, finished) if scored else None
    if found is None:
        return row
    mask, error, best = found
    text = f"{row['text']}, error {error:.3f}, F up to {best:.3f}"
    return {**row, "mask": pictures.link(mask), "mae": error, "f": best, "text": text}


def _curves(scored: RunScores) -> list[dict[str, Any]]:
    metrics = scored.result.metrics
    if not metrics.images:
        return []
    thresholds = metrics.thresholds / max(metrics.thresholds[-1], 1)
    shares = np.histogram([error for _, error, _ in scored.files.values()], BINS, (0, 1))[0] / max(len(scored.files), 1)
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
