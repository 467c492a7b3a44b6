"""The rows of a run as COCO's annotations, which FiftyOne, pycocotools and labelling tools read."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...errors import UnseeError
from ...files import atomic_path
from ..inputs.input import is_url
from ..outputs.done_marks import is_done
from ..outputs.plan import Plan, read_plan
from ..outputs.rows import SUCCESS, Row
from ..outputs.sink import stored_rows
from .own_files import refuse_strangers

LABELS_FILE = "labels.json"
MARK = "salient objects, found by unsee"
"""What tells our file from one of somebody else's."""
CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}


def write_coco(folder: Path, images: Path | None = None) -> Path:
    """Write labels.json of a run whose rows have `segmentation` and `bbox`, a row at a time, and return its path.

    images: folder that `file_name` is relative to; as in the rows where None. An image without an object has no annotation,
    one that failed is not listed. Raises `UnseeError` where the run has other rows, or is not done.
    """
    plan, path = read_plan(folder), folder / LABELS_FILE
    refuse_strangers(path, MARK)
    wanted = {"rle", "box"} - set(plan.identity.get("rows_with", ()))
    if wanted:
        raise UnseeError(
            f"{folder}: its rows have no {' and no '.join(sorted(wanted))}: run it with --rows-with rle,box"
        )
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{"description": "{MARK}"}}, "categories": {json.dumps([CATEGORY])}')
        _write_list(
            file, "images", (_image(place, row, _name_below(images, plan, row)) for place, row in _successes(plan))
        )
        _write_list(file, "annotations", (_annotation(place, row) for place, row in _successes(plan) if row.area))
        file.write("}\n")
    return path


def _successes(plan: Plan) -> Iterator[tuple[int, Row]]:
    """Yield the rows of images that have a map, with their places in the plan from 1."""
    place = 0
    for shard in range(plan.shards):
        if not is_done(plan.folder, shard):
            raise UnseeError(f"{plan.folder}: shard {shard:05d} is not done: run it to its end first")
        for row in stored_rows(plan.folder, shard):
            place += 1
            if row.status == SUCCESS:
                yield place, row


def _write_list(file: IO[str], name: str, values: Iterator[dict[str, Any]]) -> None:
    file.write(f', "{name}": [')
    for number, value in enumerate(values):
        file.write((",\n" if number else "\n") + json.dumps(value))
    file.write("]")


def _name_below(images: Path | None, plan: Plan, row: Row) -> str:
    """Return the path of an image relative to a folder; the row's are seen from where the run was started."""
    if images is None or is_url(row.path):
        return row.path
    return os.path.relpath(Path(plan.started_in) / row.path, images.resolve())


def _image(place: int, row: Row, name: str) -> dict[str, Any]:
    return {"id": place, "file_name": name, "width": row.width, "height": row.height}


def _annotation(place: int, row: Row) -> dict[str, Any]:
    return {
        "id": place,
        "image_id": place,
        "category_id": CATEGORY["id"],
        "segmentation": row.segmentation,
        "area": row.area,
        "bbox": row.bbox,
        "iscrowd": 0,
    }
