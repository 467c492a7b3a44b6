"""What distillation learns from: crops of photographs with the teachers' predictions and object maps, computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor, nn

from ..errors import DecodingError, UnseeError
from ..files import digest_of
from ..formats import EXTENSIONS
from ..images import open_image
from .batches.augmentation import vary_colors
from .batches.distillation_config import CELL
from .data.random_backgrounds import object_map
from .input_gradient import change_map, descend
from .networks.checkpoints import Classifier
from .networks.metadata import Label
from .networks.preprocessing import Preprocessing

MAP_GRID = 20
"""Cells along a side of a whole photograph's object map."""
MAP_ITERATIONS = 4
MAP_STEP = 20.0
SMALLEST_AREA = 0.3
"""Least part of a photograph's area in a crop."""

Box = tuple[float, float, float, float]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Lessons:
    """Crops of P photographs, K each, and what the teachers say of them; memory-mapped arrays.

    crops: uint8 [P,K,3,S,S]. predictions: float16 [P,K,N], the teachers' mean class probabilities.
    maps: float16 [P,K,S/CELL,S/CELL], where the object is, 0..1. The first crop of a photograph is the whole of it.
    """

    crops: np.ndarray
    predictions: np.ndarray
    maps: np.ndarray

    def __len__(self) -> int:
        return len(self.crops)


@dataclass(frozen=True)
class Batch:
    """pixels: float [B,3,s,s], 0..255. predictions: float [B,N]. maps: float [B,s/CELL,s/CELL], 0..1."""

    pixels: Tensor
    predictions: Tensor
    maps: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(self.pixels.to(device), self.predictions.to(device), self.maps.to(device))


def list_photographs(directories: Sequence[Path]) -> list[Path]:
    """Return the image files of the directories and all below them, sorted by path."""
    found = [
        path
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]
    if not found:
        raise UnseeError(f"no photographs in {', '.join(map(str, directories))}")
    return found


def is_held_out(path: Path, fraction: float) -> bool:
    """Return whether a photograph is kept out of training: decided by its file name alone, so always the same ones."""
    return int.from_bytes(sha256(path.name.encode()).digest()[:4]) < fraction * 2**32


def read_lessons(
    directory: Path,
    photographs: Sequence[Path],
    teachers: Sequence[Classifier],
    crops: int,
    side: int,
    advance: Advance,
) -> Lessons:
    """Return the lessons kept in `directory`, computing those that are missing; `advance` counts finished photographs.

    Lessons are kept under a digest of the photographs' names and sizes, the teachers and the sizes asked for.
    """
    key = digest_of([[[path.name, path.stat().st_size] for path in photographs],
                     [teacher.metadata.to_json() for teacher in teachers], crops, side])  # fmt: skip
    files = {name: directory / f"{key}-{name}.npy" for name in ("crops", "predictions", "maps")}
    if not all(file.exists() for file in files.values()):
        directory.mkdir(parents=True, exist_ok=True)
        _prepare(files, photographs, teachers, crops, side, advance)
    return Lessons(**{name: np.load(file, mmap_mode="r") for name, file in files.items()})


def _prepare(
    files: dict[str, Path],
    photographs: Sequence[Path],
    teachers: Sequence[Classifier],
    crops: int,
    side: int,
    advance: Advance,
) -> None:
    """Compute all lessons into temporary files and rename these once they are complete."""
    count, cells = len(photographs), side // CELL
    classes = len(teachers[0].labels)
    shapes = {"crops": (np.uint8, (count, crops, 3, side, side)), "predictions": (np.float16, (count, crops, classes)),
              "maps": (np.float16, (count, crops, cells, cells))}  # fmt: skip
    temporary = {name: file.with_suffix(".tmp") for name, file in files.items()}
    arrays = {
        name: np.lib.format.open_memmap(temporary[name], "w+", dtype, shape) for name, (dtype, shape) in shapes.items()
    }
    for index, path in enumerate(photographs):
        photograph = read_photograph(path)
        boxes = random_boxes(path.name, crops)
        arrays["crops"][index] = _resized(photograph, boxes, side).to(torch.uint8).numpy()
        arrays["predictions"][index] = predict(teachers, photograph, boxes).numpy()
        arrays["maps"][index] = _cropped_maps(teachers, photograph, boxes, cells).numpy()
        advance(1)
    for name, file in files.items():
        arrays[name].flush()
        temporary[name].replace(file)


def read_photograph(path: Path) -> Image.Image:
    """Decode a photograph as RGB."""
    try:
        with open_image(path) as image:
            return image.convert("RGB")
    except (OSError, DecodingError) as error:
        raise UnseeError(f"{path}: not a readable image ({error})") from None


def random_boxes(seed: str, count: int) -> list[Box]:
    """Return the whole image and count-1 random crops as (left, top, right, bottom) fractions of its sides."""
    random = np.random.default_rng(int.from_bytes(sha256(seed.encode()).digest()[:8]))
    boxes: list[Box] = [(0.0, 0.0, 1.0, 1.0)]
    while len(boxes) < count:
        area, ratio = random.uniform(SMALLEST_AREA, 1), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = min(1.0, np.sqrt(area * ratio)), min(1.0, np.sqrt(area / ratio))
        left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
        boxes.append((float(left), float(top), float(left + width), float(top + height)))
    return boxes


def _resized(photograph: Image.Image, boxes: Sequence[Box], side: int) -> Tensor:
    """Return the boxes of a photograph as pixels [K,3,side,side] in 0..255."""
    scale = np.array([photograph.width, photograph.height] * 2)
    crops = [
        photograph.resize((side, side), Image.Resampling.BILINEAR, tuple(np.array(box) * scale), reducing_gap=2.0)
        for box in boxes
    ]
    return torch.from_numpy(np.stack([np.asarray(crop) for crop in crops])).permute(0, 3, 1, 2).float()


def predict(teachers: Sequence[Classifier], photograph: Image.Image, boxes: Sequence[Box]) -> Tensor:
    """Return the teachers' mean class probabilities [K,N] of the boxes, classes in the first teacher's order."""
    total = torch.zeros(len(boxes), len(teachers[0].labels))
    for teacher in teachers:
        network = on_pixels(teacher)
        with torch.no_grad():
            logits = network(_resized(photograph, boxes, teacher.metadata.input.size))
        total += torch.softmax(logits, 1)[:, class_order(teacher.labels, teachers[0].labels)]
    return total / len(teachers)


def on_pixels(teacher: Classifier) -> nn.Module:
    """Return a classifier as a function of RGB pixels in 0..255."""
    return nn.Sequential(Preprocessing(teacher.metadata.input), teacher.module)


def class_order(labels: Sequence[Label], wanted: Sequence[Label]) -> list[int]:
    """Return for each wanted label its position in `labels`, matched by wnid, or by name where there is none."""
    positions = {label.wnid or label.name: index for index, label in enumerate(labels)}
    missing = [label.name for label in wanted if (label.wnid or label.name) not in positions]
    if missing or len(labels) != len(wanted):
        raise UnseeError(f"the teachers' classes differ: {len(wanted)} and {len(labels)}, {len(missing)} unmatched")
    return [positions[label.wnid or label.name] for label in wanted]


def _cropped_maps(teachers: Sequence[Classifier], photograph: Image.Image, boxes: Sequence[Box], cells: int) -> Tensor:
    """Return the photograph's object map within each box [K,cells,cells]."""
    whole = photograph_map(teachers, photograph)[None, None].expand(len(boxes), -1, -1, -1)
    left, top, right, bottom = (torch.tensor(boxes) * 2 - 1).unbind(1)
    zero = torch.zeros_like(left)
    affine = torch.stack(
        [(right - left) / 2, zero, (right + left) / 2, zero, (bottom - top) / 2, (bottom + top) / 2], 1
    )
    grid = torch.nn.functional.affine_grid(affine.reshape(-1, 2, 3), [len(boxes), 1, cells, cells], align_corners=False)
    return torch.nn.functional.grid_sample(whole, grid, padding_mode="border", align_corners=False)[:, 0]


def photograph_map(teachers: Sequence[Classifier], photograph: Image.Image) -> Tensor:
    """Return the mean over the teachers of the object maps of a whole photograph [MAP_GRID,MAP_GRID]."""
    maps = []
    for teacher in teachers:
        pixels = _resized(photograph, [(0.0, 0.0, 1.0, 1.0)], teacher.metadata.input.size)
        network = on_pixels(teacher)
        edited = descend(network, pixels, MAP_ITERATIONS, MAP_STEP)
        maps.append(object_map(pixels, change_map(pixels, edited), MAP_GRID))
    return torch.cat(maps).mean(0)


def draw_batch(lessons: Lessons, photographs: Tensor, side: int, generator: Generator) -> Batch:
    """Draw one crop of each photograph, cut a random window of `side` from it, mirror half of them, vary the colours."""
    kept, stored = lessons.crops.shape[1], lessons.crops.shape[-1]
    shifts = (stored - side) // CELL + 1
    choice = torch.randint(kept, (len(photographs),), generator=generator)
    top, left = (torch.randint(shifts, (len(photographs),), generator=generator) for _ in "yx")
    pixels, maps = [], []
    for photograph, crop, y, x in torch.stack([photographs, choice, top, left], 1).tolist():
        window = slice(y * CELL, y * CELL + side), slice(x * CELL, x * CELL + side)
        pixels.append(lessons.crops[photograph, crop][:, *window])
        maps.append(lessons.maps[photograph, crop, y : y + side // CELL, x : x + side // CELL])
    mirrored = torch.rand(len(photographs), 1, 1, generator=generator) < 0.5
    image_BCHW, map_Bhw = torch.from_numpy(np.stack(pixels)).float(), torch.from_numpy(np.stack(maps)).float()
    image_BCHW = torch.where(mirrored[..., None], image_BCHW.flip(3), image_BCHW)
    map_Bhw = torch.where(mirrored, map_Bhw.flip(2), map_Bhw)
    predictions = torch.from_numpy(lessons.predictions[photographs.numpy(), choice.numpy()]).float()
    return Batch(vary_colors(image_BCHW, generator), predictions, map_Bhw)
