"""The pictures of a page: links to originals and maps where they are files, copies beside the page where they are not, or
all of them inside it.
"""

import base64
import io
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageOps

from ...engine.decoding.decoded_image import DecodingConfig
from ...engine.decoding.decoding import decode
from ...engine.inputs.input import Input, ReadingError, is_url, read
from ...engine.outputs.layout import MAP_SUFFIX
from ...engine.outputs.plan import Plan
from ...engine.outputs.rows import SUCCESS, Row
from ...errors import DecodingError
from ...files import write_bytes
from ...images import open_image
from .finished import Finished

MOST_COPIES = 2000
"""Pictures that are written beside a page because they lie in archives; the rows beyond show text alone."""
THUMBNAIL = 320
LARGEST_EMBEDDED = 512


def started_in(plan: Plan) -> Path | None:
    """The folder in which a run was started, None for runs that did not keep it."""
    return Path(plan.started_in) if plan.started_in else None


def located(start: Path | None, path: str) -> str:
    """Return where a path or URL of a plan is: relative ones lie below the folder in which the run was started."""
    return path if start is None or is_url(path) else str(start / path)


class Pictures:
    """Finds or makes the pictures that a page shows; the page is `output`, suffix tells two runs of it apart.

    portable: they are put into the page, made smaller, so that it can be moved.
    """

    def __init__(self, plan: Plan, output: Path, suffix: str = "", portable: bool = False) -> None:
        self.plan, self.portable = plan, portable
        self.folder = output.parent.resolve()
        self.copies = self.folder / f"{output.stem}_files{suffix}"
        self.count = 0
        self.start = started_in(plan)

    def image(self, finished: Finished) -> str | None:
        """Return the link to the original, a thumbnail where it lies in an archive."""
        member = finished.planned.input
        place = located(self.start, member.path)
        if member.offset is None and member.row is None and not is_url(member.path):
            return self.link(Path(place))
        if finished.row.status != SUCCESS:
            return None
        return self._copy(f"{finished.row.key}.jpg", _thumbnail(replace(member, path=place), finished.row))

    def maps(self, finished: Finished) -> list[str]:
        """Return the link to the map, if there is one."""
        if finished.data is None:
            return []
        if self.plan.identity["output_format"] == "files":
            link = self.link(self.plan.folder / (finished.planned.input.output + MAP_SUFFIX))
            return [link] if link else []
        link = self._copy(f"{finished.row.key}.png", finished.data)
        return [link] if link else []

    def link(self, path: Path) -> str | None:
        """Return the link to a file from the page: the bytes of its name, whatever they are, with percents.

        A portable page has the picture itself, None where it cannot be read.
        """
        if self.portable:
            return self._embedded(path)
        return quote(os.fsencode(os.path.relpath(path.resolve(), self.folder)))

    def _copy(self, name: str, data: bytes | None) -> str | None:
        if data is None or self.count >= MOST_COPIES:
            return None
        self.count += 1
        if self.portable:
            return embedded(data)
        self.copies.mkdir(parents=True, exist_ok=True)
        write_bytes(self.copies / name, data)
        return self.link(self.copies / name)

    def _embedded(self, path: Path) -> str | None:
        if self.count >= MOST_COPIES:
            return None
        self.count += 1
        try:
            return embedded(path.read_bytes())
        except (OSError, DecodingError):
            return None

    def is_there(self, finished: Finished) -> bool:
        """Whether the file of an input is where it is looked for; that of a URL is taken to be."""
        path = located(self.start, finished.planned.input.path)
        return is_url(path) or Path(path).exists()


def embedded(data: bytes) -> str:
    """Return a picture as a URL that holds it: at most `LARGEST_EMBEDDED` pixels long, one with a single channel as PNG."""
    whole = open_image(data)
    picture = ImageOps.exif_transpose(whole) or whole
    picture.thumbnail((LARGEST_EMBEDDED, LARGEST_EMBEDDED))
    form = "PNG" if picture.mode in ("L", "1", "RGBA", "P") else "JPEG"
    buffer = io.BytesIO()
    (picture if form == "PNG" else picture.convert("RGB")).save(buffer, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


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
