"""What is taught, gathered on the student's grid: photographs with their teachers' maps, and data with masks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import UnseeError
from ...files import digest_of
from ...train.data.datasets import Dataset
from ...train.students.made_marks import made, mark_made
from ...train.students.stored_arrays import new_array
from ...train.students.student_config import GRID, StudentConfig
from ..decoding.decoded_image import DecodingConfig
from ..decoding.decoding import decode
from ..inputs.input import read
from .teacher_maps import TeacherMaps

DONE_FILE = "lessons.json"
PIXELS_FILE, LABELS_FILE = "pixels.npy", "labels.npy"

Lesson = tuple[np.ndarray, np.ndarray]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Gathered:
    """Lessons on disk. pixels: uint8 [P,S,S,3]. labels: float32 [P,S/4,S/4], the teachers' mean or a mask.

    masked: how many of them, the last ones, have a mask. digest: of all that they are made from.
    """

    pixels: np.ndarray
    labels: np.ndarray
    masked: int
    digest: str

    @property
    def known(self) -> np.ndarray:
        """Which labels are masks, bool [P]."""
        return np.arange(len(self.pixels)) >= len(self.pixels) - self.masked


def gather(config: StudentConfig, maps: TeacherMaps, masks: list[Dataset], advance: Advance) -> Gathered:
    """Return the lessons of a configuration, made unless they lie in its folder; `advance` counts photographs.

    masks: data to learn from, too. Raises `UnseeError` where no photograph has a map, or one cannot be read any more.
    """
    digest = digest_of([maps.digest, config.input_size, [[data.name, len(data)] for data in masks]])
    folder = config.output / "lessons"
    if not made(folder / DONE_FILE, digest):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DONE_FILE).unlink(missing_ok=True)
        count = sum(1 for _ in maps.photographs())
        if not count:
            raise UnseeError(f"{', '.join(config.photographs)}: none of {maps.planned} photographs has a map")
        _write(folder, count, config.input_size, maps, masks, advance)
        mark_made(folder / DONE_FILE, digest)
    pixels, labels = (np.load(folder / name, mmap_mode="r") for name in (PIXELS_FILE, LABELS_FILE))
    return Gathered(pixels, labels, sum(len(data) for data in masks), digest)


def _write(folder: Path, count: int, size: int, maps: TeacherMaps, masks: list[Dataset], advance: Advance) -> None:
    count, cells = count + sum(len(data) for data in masks), size // GRID
    pixels = new_array(folder / PIXELS_FILE, np.uint8, (count, size, size, 3))
    labels = new_array(folder / LABELS_FILE, np.float32, (count, cells, cells))
    lessons = (lesson for part in (_photographs(maps, size), _masked(masks, size)) for lesson in part)
    for place, (image, label) in enumerate(lessons):
        pixels[place], labels[place] = image, label
        advance(1)
    pixels.flush()
    labels.flush()


def _photographs(maps: TeacherMaps, size: int) -> Iterator[Lesson]:
    decoding = DecodingConfig(size)
    for photograph in maps.photographs():
        yield decode(read(photograph.planned.input), decoding).pixels, photograph.label(size // GRID)


def _masked(masks: list[Dataset], size: int) -> Iterator[Lesson]:
    for data in masks:
        for item in data.items:
            scene = item.read()
            mask = Image.fromarray((scene.objects >= 0).astype(np.uint8) * 255)
            label = mask.resize((size // GRID, size // GRID), Image.Resampling.BOX)
            image = Image.fromarray(scene.pixels).resize((size, size), Image.Resampling.BILINEAR)
            yield np.asarray(image), np.asarray(label, np.float32) / 255
