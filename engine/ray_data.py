"""Maps within a Ray Data pipeline: a class for `map_batches`, whose actors open the model once each."""

from typing import Any

import numpy as np

from ..errors import UnseeError
from ..grey_png import grey_png
from ..train.networks.model_names import DEFAULT_NAME
from .detector import Detector, FailedItemError
from .outputs.rows import SUCCESS
from .saliency import Saliency

COLUMNS = ("bytes", "image", "path")
"""What `ray.data.read_binary_files`, `read_images` and `include_paths` call images; the first that a batch has is taken."""
FAILED = "failed"


class Maps:
    """Adds the map of every image to the rows of a data set.

    For example: `ray.data.read_binary_files("photos/").map_batches(Maps, batch_size=32, concurrency=2, num_gpus=1)`.

    model, options: as of `Detector`. column: of the images: bytes of files, arrays [H,W,C], or paths; see `COLUMNS` where
    None. keep: whether that column stays in the rows, from where it goes through Ray's object store once more.
    Rows get `png` (the map at the image's size, bytes of a grey PNG), `status` (success or failed), `error_message`,
    `width`, `height`, `box` (left, top, width, height), `label_name` and `score`; what an image has none of is None. A
    failed image is a row, and stops nothing.
    """

    def __init__(
        self, model: str = DEFAULT_NAME, *, column: str | None = None, keep: bool = False, **options: Any
    ) -> None:
        self.column, self.keep = column, keep
        self.detector = Detector(model, **options)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a batch, in Ray's format `numpy`, with what was found in its images."""
        column = self._column_of(batch)
        found = self.detector(list(batch[column]), on_error="return")
        kept = {name: values for name, values in batch.items() if self.keep or name != column}
        rows = [_row(one) for one in found]
        return {**kept, **{name: _objects([row[name] for row in rows]) for name in _row(None)}}

    def _column_of(self, batch: dict[str, np.ndarray]) -> str:
        wanted = COLUMNS if self.column is None else (self.column,)
        found = next((name for name in wanted if name in batch), None)
        if found is None:
            raise UnseeError(f"rows have no column {' or '.join(wanted)}, but {', '.join(batch)}: name it with column=")
        return found


def _row(found: Saliency | FailedItemError | None) -> dict[str, Any]:
    """Return the columns of one image; those of no image are None."""
    row: dict[str, Any] = dict.fromkeys(
        ("png", "status", "error_message", "width", "height", "box", "label_name", "score")
    )
    if isinstance(found, FailedItemError):
        return {**row, "status": FAILED, "error_message": found.reason}
    if found is None:
        return row
    height, width = found.map.shape
    sizes = {"width": width, "height": height, "box": found.box}
    return {
        **row, "png": grey_png(found.map), "status": SUCCESS, **sizes, "label_name": found.label, "score": found.score,
    }  # fmt: skip


def _objects(values: list[Any]) -> np.ndarray:
    """Return values of whatever kind as a column."""
    column = np.empty(len(values), object)
    column[:] = values
    return column
