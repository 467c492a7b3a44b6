"""`unsee report --compare`: the images on which two runs differ most."""

import heapq
import os
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...engine.inputs.input import Input, is_url
from ...engine.outputs.done_marks import done_shards
from ...engine.outputs.output_formats import OutputFormat, map_reader
from ...engine.outputs.plan import Plan, PlannedInput, read_plan
from ...engine.outputs.rows import SUCCESS, Row
from ...engine.outputs.sink import stored_rows
from ...errors import UnseeError
from ...images import open_image
from .finished import PICTURE_FORMATS, Finished, finished_inputs
from .html import claim_page, write_page
from .pictures import Pictures, located, started_in
from .run_page import FIGURES, SORTS, entry, say_what_is_missing
from .run_scores import RunScores, score_run

DIFFERENCE_SORT = ("difference:down", "largest difference first")
ERROR_SORTS = (
    ("gain:down", "largest gain of the second map first"),
    ("gain:up", "largest loss of the second map first"),
    ("mae:down", "largest error of the first map first"),
)
PICTURES = ("image", "what the first map keeps of it", "first map", "second map", "difference")
COMPARED_FIGURES = (("mae", "error of the first"), ("gain", "gain of the second"))
Key = Callable[[Input], Hashable]


def compare(
    first: Path,
    second: Path,
    output: Path | None = None,
    masks: Path | None = None,
    most: int = 200,
    messages: Console | None = None,
    portable: bool = False,
) -> Path:
    """Write a page of the images on which the maps of two runs differ most, by mean absolute difference; return its path.

    masks: folder of masks to score both runs against. portable: the page holds its pictures, made smaller. messages: told
    what is odd. Raises `UnseeError` for folders that are no runs, for runs that keep no pictures of maps, and where no
    image has a map in both.
    """
    output = output or first / "compare.html"
    plans = read_plan(first), read_plan(second)
    for plan in plans:
        _check_pictures(plan)
    if messages and first.samefile(second):
        messages.print(f"note: {first} is compared with itself")
    claim_page(output)
    scored = [score_run(plan, masks, messages) for plan in plans] if masks else []
    differing = heapq.nlargest(most, _differences(*plans), key=lambda item: item[0])
    if not differing:
        raise UnseeError(
            f"{first} and {second} have no image of which both have a map: compare runs of the same images"
        )
    pictures = [Pictures(plan, output, suffix, portable) for plan, suffix in zip(plans, ("a", "b"), strict=True)]
    say_what_is_missing(pictures[0], differing[0][1], messages)
    rows = [_entry(*item, pictures, scored) for item in differing]
    write_page(
        output,
        title=f"unsee: {first.name} and {second.name}",
        facts=[
            ("first", first),
            ("second", second),
            *((f"scores of the {name}", one.fact()) for name, one in zip(("first", "second"), scored, strict=False)),
            ("shown", f"the {len(rows)} images that differ most"),
        ],
        sorts=(DIFFERENCE_SORT, *(ERROR_SORTS if masks else ()), *SORTS[:3]),
        figures=(("difference", "difference"), *(COMPARED_FIGURES if masks else ()), *FIGURES),
        pictures=[
            "image",
            "what the first map keeps of it",
            "first map",
            "second map",
            "difference",
            *(["mask"] if masks else []),
        ],
        rows=rows,
    )
    return output


def _check_pictures(plan: Plan) -> None:
    kept = plan.identity.get("output_format")
    if kept not in PICTURE_FORMATS:
        raise UnseeError(
            f"{plan.folder} keeps its maps as {kept}: a comparison needs one of {', '.join(PICTURE_FORMATS)}"
        )


def _entry(
    difference: float, one: Finished, other: Finished, pictures: list[Pictures], scored: list[RunScores]
) -> dict[str, Any]:
    row = entry(one, pictures[0])
    text = f"differs by {255 * difference:.1f} of 255 levels"
    if one.row.label_name is not None or other.row.label_name is not None:
        text += f"; {one.row.label_name} / {other.row.label_name}"
    row |= {"maps": row["maps"] + pictures[1].maps(other), "difference": difference, "text": text}
    found = [
        scores.of(shown.plan.folder, finished)
        for scores, shown, finished in zip(scored, pictures, (one, other), strict=False)
    ]
    return row | _errors(text, found, pictures[0])


def _errors(text: str, found: list[tuple[Path, float, float] | None], pictures: Pictures) -> dict[str, Any]:
    """What masks add to a row: the mask, the errors of both maps, and by how much the second is better."""
    if not any(found):
        return {}
    errors = [None if pair is None else pair[1] for pair in found]
    mask = next(pair[0] for pair in found if pair)
    said = " / ".join("none" if error is None else f"{error:.3f}" for error in errors)
    gain = None if errors[0] is None or errors[1] is None else errors[0] - errors[1]
    return {"mask": pictures.link(mask), "mae": errors[0], "gain": gain, "text": f"{text}; error {said}"}


def _differences(first: Plan, second: Plan) -> Iterator[tuple[float, Finished, Finished]]:
    """Yield the mean absolute difference, 0 to 1, of the maps of every image that both runs have."""
    output_format: OutputFormat = second.identity["output_format"]
    key_of_first, key_of_second = _keys(first, second)
    places = {key_of_second(planned.input): (shard, planned, row) for shard, planned, row in _successes(second)}
    reader = lru_cache(maxsize=4)(partial(map_reader, second.folder, output_format=output_format))
    for one in finished_inputs(first):
        key = key_of_first(one.planned.input)
        if one.data is not None and key in places:
            shard, planned, row = places[key]
            stored = reader(shard)(planned)
            if stored is not None:
                yield _difference(one.data, stored.saliency), one, Finished(planned, row, stored.saliency)


def _keys(first: Plan, second: Plan) -> tuple[Key, Key]:
    """Return what tells the same image in either run: its place, or its map's name where the images have moved."""
    places = partial(_place, started_in(first)), partial(_place, started_in(second))
    found = {places[1](member) for member, _ in second.inputs()}
    return places if any(places[0](member) in found for member, _ in first.inputs()) else (_output, _output)


def _place(start: Path | None, member: Input) -> Hashable:
    path = located(start, member.path)
    return path if is_url(path) else os.path.abspath(path), member.offset, member.row  # noqa: PTH100 - does not follow links


def _output(member: Input) -> Hashable:
    return member.output


def _successes(plan: Plan) -> Iterator[tuple[int, PlannedInput, Row]]:
    for shard in done_shards(plan.folder, plan.shards):
        for planned, row in zip(plan.rows(shard), stored_rows(plan.folder, shard), strict=True):
            if row.status == SUCCESS:
                yield shard, planned, row


def _difference(first: bytes, second: bytes) -> float:
    one, other = (np.asarray(open_image(data), np.float32) for data in (first, second))
    return float(np.abs(one - other).mean() / 255) if one.shape == other.shape else 1.0
