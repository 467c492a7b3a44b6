"""Places for results, claimed before the work: they can be written, and nothing that was not made here is replaced."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ...errors import OutputError, UnseeError
from ...extras import require
from ...files import temporary_of

SOFTWARE = "unsee eval"
"""What a drawing of ours says it was made with."""
PAGE_TITLE = b"<title>unsee"
PAGE_HEAD = 4096
ROW_COLUMNS = {"key", "prediction", "mask", "status"}
RESULT_KEYS = {"config", "results"}


@dataclass(frozen=True)
class ResultFiles:
    """Files to write: rows, one a mask (parquet), curves (PNG) and the result (JSON); None for those not wanted."""

    per_image: Path | None = None
    curves: Path | None = None
    json: Path | None = None

    def claim(self, metrics: Sequence[str]) -> None:
        """Make sure, before anything is scored, that all can be written; errors as of `claims.claim` and `require`."""
        wanted = [path.resolve() for path in (self.per_image, self.curves, self.json) if path]
        if len(set(wanted)) < len(wanted):
            raise UnseeError("--per-image, --curves and --json need a file each, two of them name the same")
        if self.curves:
            if "fmeasure" not in metrics:
                raise UnseeError(f"--curves are of the metric fmeasure, which --metrics {','.join(metrics)} lacks")
            require("matplotlib.figure", "report", "drawing curves")
            claim(self.curves, "--curves", is_drawing)
        if self.per_image:
            claim(self.per_image, "--per-image", is_score_table)
        if self.json:
            claim(self.json, "--json", is_result)


def claim(path: Path, option: str, is_ours: Callable[[Path], bool]) -> None:
    """Make sure that `path` can be written, folders above it included, and holds nothing but an earlier result.

    Raises `UnseeError` where something else is there, `OutputError` where nothing can be written.
    """
    if path.is_dir():
        raise UnseeError(f"{option} {path} is a folder: name a file")
    try:
        if path.exists() and not (path.is_file() and is_ours(path)):
            raise UnseeError(
                f"{option} {path} is there already, and is no earlier result: name another file, or remove it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_of(path)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise unwritable(path, option, error) from None


def unwritable(path: Path, option: str, error: OSError) -> OutputError:
    """Return the error of a place that cannot be written."""
    return OutputError(f"{option} {path} cannot be written ({error.strerror or error}): name another place")


def is_page(path: Path) -> bool:
    """Tell whether a file is a page of ours."""
    with path.open("rb") as file:
        return PAGE_TITLE in file.read(PAGE_HEAD)


def is_score_table(path: Path) -> bool:
    """Tell whether a file holds a row of scores for every mask."""
    try:
        return set(pq.read_schema(path).names) >= ROW_COLUMNS
    except (pa.ArrowException, OSError):
        return False


def is_result(path: Path) -> bool:
    """Tell whether a file is the JSON of an evaluation."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= RESULT_KEYS


def is_drawing(path: Path) -> bool:
    """Tell whether a file is a drawing of curves."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Software") == SOFTWARE
    except (OSError, ValueError, SyntaxError):
        return False
