"""Which files of a folder are maps or masks to score, and which are left out: hidden ones, copies of pages, strangers."""

import os
from dataclasses import dataclass
from pathlib import Path

from ...engine.outputs.done_marks import done_shards
from ...engine.outputs.layout import MAP_SUFFIX, MASK_SUFFIX, PLAN_FILE
from ...engine.outputs.plan import read_plan
from ...engine.outputs.rows import SUCCESS
from ...engine.outputs.sink import stored_rows
from ...engine.segmentation.picture_config import check_holds_maps
from ...errors import UnseeError
from ...formats import MAP_SUFFIXES
from .remarks import Remark, Tally

LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm")
"""Suffixes of masks that share a name with photographs, as in MSRA10K."""
COPIES = ("_files", "_filesa", "_filesb")
"""What a page's folder of pictures ends in, after the page's own name."""

HIDDEN = "hidden files left out"
PAGES = "pictures beside a page left out"
CUTS = "masks beside their maps (*.mask.png) left out"
INSIDE = "files of the other folder, which lies inside, left out"
NOT_OF_RUN = "images that the run did not make left out"
PHOTOGRAPHS = "photographs beside masks of the same name left out"


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder tree that count, sorted, and what was left out of it."""

    folder: Path
    images: tuple[Path, ...]
    remarks: tuple[Remark, ...] = ()


def map_folder(folder: Path, masks: Path | None = None) -> ImageFolder:
    """List the maps of a folder: of a run directory those of its successes, else all images; none of `masks` inside.

    Raises UnseeError for a folder that is not there or cannot be read, and for a run whose maps are not files.
    """
    if (folder / PLAN_FILE).exists():
        return _run_maps(folder)
    tally = Tally()
    images = _without(masks, folder, _images(folder, tally), tally)
    beside = {path.with_suffix("") for path in images}
    cuts = [
        path for path in images if path.name.endswith(".mask.png") and path.with_suffix("").with_suffix("") in beside
    ]
    tally.add_all(CUTS, [path.name for path in cuts])
    return ImageFolder(folder, tuple(sorted(set(images) - set(cuts))), tally.remarks())


def mask_folder(folder: Path, maps: Path | None = None) -> ImageFolder:
    """List the masks of a folder, none of `maps` inside; where photographs lie beside them, the lossless of one name.

    Raises UnseeError for a folder that is not there or cannot be read.
    """
    tally = Tally()
    namesakes: dict[Path, list[Path]] = {}
    for path in _without(maps, folder, _images(folder, tally), tally):
        namesakes.setdefault(path.with_suffix(""), []).append(path)
    images = [path for paths in namesakes.values() for path in _lossless(paths, tally)]
    return ImageFolder(folder, tuple(sorted(images)), tally.remarks())


def flat_folder(folder: Path) -> ImageFolder:
    """List the images that lie in a folder itself."""
    tally = Tally()
    return ImageFolder(folder, tuple(path for path in _images(folder, tally) if path.parent == folder), tally.remarks())


def _run_maps(folder: Path) -> ImageFolder:
    plan = read_plan(folder)
    check_holds_maps(folder, plan.identity)
    maps, own = [], set()
    done = list(done_shards(folder, plan.shards))
    for shard in done:
        for planned, row in zip(plan.rows(shard), stored_rows(folder, shard), strict=True):
            if row.status == SUCCESS:
                maps.append(folder / (planned.input.output + MAP_SUFFIX))
                own |= {maps[-1], folder / (planned.input.output + MASK_SUFFIX)}
    tally = Tally()
    strangers = [path.name for path in _images(folder, Tally()) if path not in own]
    tally.add_all(NOT_OF_RUN, strangers)
    missing = tuple(f"{shard:05d}" for shard in range(plan.shards) if shard not in set(done))
    tally.add_all(f"shards of {plan.shards} that the run in {folder} has yet to do", missing, doubtful=True)
    return ImageFolder(folder, tuple(sorted(maps)), tally.remarks())


def _images(folder: Path, tally: Tally) -> list[Path]:
    """All images below a folder that are not hidden and no copies beside a page, sorted; links to folders are followed."""
    if not folder.is_dir():
        raise UnseeError(f"{folder} is not a folder")
    found, visited = [], set()
    for place, names, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(place)
        if (real := here.resolve()) in visited:  # a link that leads back
            names.clear()
            continue
        visited.add(real)
        names.sort()
        found += [here / name for name in files if Path(name).suffix.lower() in MAP_SUFFIXES]
    kept = []
    for path in sorted(found):
        reason = _reason_to_leave_out(path, folder)
        if reason:
            tally.add(reason, path.name)
        elif path.is_file():
            kept.append(path)
    return kept


def _refuse(error: OSError) -> None:
    raise UnseeError(f"{error.filename}: {error.strerror}: give a folder that can be read")


def _reason_to_leave_out(path: Path, folder: Path) -> str | None:
    parts = path.relative_to(folder).parts
    if any(part.startswith(".") for part in parts):
        return HIDDEN
    if len(parts) > 1 and _is_of_a_page(path.parent):
        return PAGES
    return None


def _is_of_a_page(folder: Path) -> bool:
    ends = [end for end in COPIES if folder.name.endswith(end)]
    return any(folder.with_name(f"{folder.name.removesuffix(end)}.html").is_file() for end in ends)


def _without(other: Path | None, folder: Path, images: list[Path], tally: Tally) -> list[Path]:
    """The images but those of another folder that lies inside this one."""
    if other is None or other.resolve() == folder.resolve() or not other.resolve().is_relative_to(folder.resolve()):
        return images
    inside = folder / other.resolve().relative_to(folder.resolve())
    tally.add_all(INSIDE, [path.name for path in images if path.is_relative_to(inside)])
    return [path for path in images if not path.is_relative_to(inside)]


def _lossless(namesakes: list[Path], tally: Tally) -> list[Path]:
    """Of images that differ in their suffix alone the only lossless one; all of them where there is none, or are several."""
    chosen = [path for path in namesakes if path.suffix.lower() in LOSSLESS]
    if len(namesakes) == 1 or len(chosen) != 1:
        return namesakes
    tally.add_all(PHOTOGRAPHS, [path.name for path in namesakes if path not in chosen])
    return chosen
