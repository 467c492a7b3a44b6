"""Where images come from: files, folders, globs and text lists, as a stream of inputs in a fixed order."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UnseeError
from .decoding import EXTENSIONS

LIST_EXTENSIONS = frozenset((".txt", ".lst", ".list"))


@dataclass(frozen=True)
class Input:
    """One image to process. path: the file. output: relative path of its map, without the map's extension."""

    path: str
    output: str


def inputs_of(sources: Iterable[str]) -> Iterator[Input]:
    """Stream the inputs of every source in order.

    A folder gives the images below it, sorted, under their relative paths; a text list one path a line; a pattern with
    *, ? or [ the files that match, relative to its fixed part; any other path is one file. Files of one folder that
    differ in their extension only keep it in their output's name. Raises `UnseeError` on a source that does not exist.
    """
    for source in sources:
        path = Path(source)
        if path.is_dir():
            yield from _folder_inputs(path)
        elif path.suffix.lower() in LIST_EXTENSIONS and path.is_file():
            yield from _list_inputs(path)
        elif os.path.lexists(path):
            yield Input(str(path), path.stem)
        elif glob.has_magic(source):
            yield from _glob_inputs(source)
        else:
            raise UnseeError(f"{source}: no such file, folder or pattern")


def _folder_inputs(root: Path) -> Iterator[Input]:
    for directory, folders, names in os.walk(root):
        folders.sort()
        images = sorted(name for name in names if _is_image(name))
        yield from _siblings(Path(directory), images, Path(directory).relative_to(root))


def _siblings(directory: Path, names: list[str], relative: Path) -> Iterator[Input]:
    """Yield the images of one folder; a stem that occurs twice keeps its extension, so that no map overwrites another."""
    stems = Counter(PurePosixPath(name).stem for name in names)
    for name in names:
        stem = PurePosixPath(name).stem
        yield Input(str(directory / name), str(relative / (stem if stems[stem] == 1 else name)))


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS and not name.startswith(".")


def _glob_inputs(pattern: str) -> Iterator[Input]:
    parts = Path(pattern).parts
    fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    matches = sorted(Path(match) for match in glob.iglob(pattern, recursive=True) if _is_image(Path(match).name))
    if not matches:
        raise UnseeError(f"{pattern}: no image matches")
    for directory, files in itertools.groupby(matches, key=lambda path: path.parent):
        yield from _siblings(directory, [file.name for file in files], directory.relative_to(fixed))


def _list_inputs(path: Path) -> Iterator[Input]:
    """Yield the paths of a text list, relative ones as seen from the list's folder; empty lines and # lines are skipped."""
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            entry = line.strip()
            if entry and not entry.startswith("#"):
                yield Input(str(path.parent / entry), _list_output(Path(entry)))


def _list_output(entry: Path) -> str:
    """Return the output of a listed path: mirrored, without root and without ways up, so that it stays in its folder."""
    parts = [part for part in entry.parts if part not in (entry.anchor, "..")]
    return str(Path(*parts).with_suffix(""))
