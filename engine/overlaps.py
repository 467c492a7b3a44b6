"""Keeping a run from writing over what it reads, over what it did not make, and over its own results.

Paths are compared in canonical form: links in their folders are resolved, so that every spelling of a file is one.
"""

import fnmatch
import glob
import itertools
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..errors import UnseeError
from ..terminal import counted
from .fingerprint import holds, short_hash
from .inputs import Input, is_url
from .layout import RunFiles, plan_files

Planned: TypeAlias = tuple[str, str, str]
"""What is written (map, mask, rows, ...), of what, and its path relative to the run directory."""


class Canonical:
    """Canonical paths: folders with their links resolved, and the last name as it is, for that is what gets replaced."""

    def __init__(self) -> None:
        self._folder = lru_cache(maxsize=4096)(os.path.realpath)

    def __call__(self, path: str) -> str:
        """Return the canonical path of a file."""
        folder, name = os.path.split(path)
        return os.path.join(self._folder(folder or "."), name)  # noqa: PTH118 - called for every input

    def hash(self, path: str) -> int:
        """Return 8 bytes that tell canonical paths apart."""
        return short_hash(os.fsencode(self(path)))


def planned_files(files: RunFiles, inputs: Iterable[Input], shards: int) -> Iterator[Planned]:
    """Yield every file that a run would write under its final name, archives, rows and plan included."""
    for what, path in plan_files():
        yield what, "the run", path
    for shard in range(shards):
        for what, path in files.of_shard(shard):
            yield what, f"shard {shard:05d}", path
    for member in inputs:
        for what, path in files.of_image(member.output):
            yield what, member.place, path


class OverlapCheck:
    """Compares the files that a run would write with each other, with its inputs, and with what is in its folder.

    planned: yields them anew at every call. made: relative paths of the files that an earlier run of the folder made,
    which may be replaced; they too must not be read.
    """

    def __init__(
        self, folder: Path, planned: Callable[[], Iterator[Planned]], made: Callable[[], Iterator[str]]
    ) -> None:
        self.folder = str(folder)
        self.planned = planned
        self.canonical = Canonical()
        self._made = np.union1d(self._hashes(made()), self._folders_of(made()))
        paths = self._hashes(path for _, _, path in planned())
        self._refuse_doubles(paths)
        self._folders = self._folders_of(path for _, _, path in planned())
        self._refuse_folders_as_files(paths)
        self._written = np.union1d(paths, self._made)

    def refuse_inputs(self, inputs: Callable[[], Iterable[str]], through_links: bool) -> None:
        """Raise `UnseeError` naming the first input that would be written over; through_links: follow links."""
        for path in inputs():
            if holds(self._written, self.canonical.hash(path)) or (
                through_links and Path(path).is_symlink() and holds(self._written, self._target_hash(path))
            ):
                what = self._description(path)
                raise UnseeError(
                    f"{path} is an input, and {what} would be written over it: choose another output folder"
                )

    def refuse_strangers(self) -> None:
        """Raise `UnseeError` naming the first file that is in the way and that no earlier run of the folder made."""
        names = lru_cache(maxsize=64)(_names)
        for what, whose, path in self.planned():
            place = os.path.join(self.folder, path)  # noqa: PTH118
            folder, name = os.path.split(place)
            if name in names(folder) and not holds(self._made, self.canonical.hash(place)):
                raise UnseeError(
                    f"{place} is there and no run made it: the {what} of {whose} would be written over it; "
                    "move it away, or choose another output folder"
                )

    def refuse_pattern(self, pattern: str) -> None:
        """Raise `UnseeError` where the same pattern, given again, would take results of this run for inputs."""
        reach = _reach(pattern)
        for what, whose, path in self.planned():
            if reach.fullmatch(self.canonical(os.path.join(self.folder, path))):  # noqa: PTH118
                raise UnseeError(
                    f"{pattern} would match {path}, the {what} of {whose}, when the command is given again: "
                    "choose an output folder that the pattern does not reach"
                )

    def _refuse_doubles(self, paths: np.ndarray) -> None:
        shared = paths[1:][paths[1:] == paths[:-1]]
        if len(shared) == 0:
            return
        doubles = [(what, whose, path) for what, whose, path in self.planned() if self._hash(path) == int(shared[0])]
        (first, one, path), (second, other, _) = doubles[:2]
        raise UnseeError(
            f"{counted(len(shared), 'output')} would be written more than once, such as {path}, the {first} of {one} "
            f"and the {second} of {other}: run them into separate output folders, or use --output-names key"
        )

    def _refuse_folders_as_files(self, paths: np.ndarray) -> None:
        both = np.intersect1d(paths, self._folders)
        if len(both):
            what, whose, path = next(item for item in self.planned() if self._hash(item[2]) == int(both[0]))
            raise UnseeError(
                f"{path} would be the {what} of {whose} and a folder of other maps: "
                "run them into separate output folders, or use --output-names key"
            )

    def _description(self, path: str) -> str:
        """Say which file of the run has a path."""
        wanted = {self.canonical.hash(path), self._target_hash(path)}
        found = ((what, whose) for what, whose, place in self.planned() if self._hash(place) in wanted)
        what, whose = next(found, ("results", "an earlier run"))
        return f"the {what} of {whose}"

    def _target_hash(self, path: str) -> int:
        return short_hash(os.fsencode(os.path.realpath(path)))

    def _hash(self, path: str) -> int:
        return self.canonical.hash(os.path.join(self.folder, path))  # noqa: PTH118

    def _hashes(self, paths: Iterable[str]) -> np.ndarray:
        """Return sorted hashes of relative paths, 8 bytes each."""
        return np.sort(np.array(array("Q", map(self._hash, paths)), np.uint64))

    def _folders_of(self, paths: Iterable[str]) -> np.ndarray:
        """Return sorted hashes of the folders below the run directory that paths lie in, each once."""
        hashes, last = array("Q"), ""
        for path in paths:
            folder = os.path.dirname(path)  # noqa: PTH120
            if folder and folder != last:
                last = folder
                hashes.extend(self._hash(part) for part in _and_above(folder))
        return np.unique(np.array(hashes, np.uint64))


def input_files(inputs: Iterable[Input], sources: Iterable[str]) -> Iterator[str]:
    """Yield every local file that a run reads: those of its inputs, each archive once, and those that it was given."""
    last = ""
    for path in chain(sources, (member.path for member in inputs)):
        if path != last and not is_url(path):
            last = path
            yield path


def _and_above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = os.path.dirname(folder)  # noqa: PTH120


def _reach(pattern: str) -> re.Pattern[str]:
    """Return what canonical paths a pattern matches."""
    parts = Path(pattern).parts
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    wild = ["(?:.+/)?" if part == "**" else f"{_component(part)}/" for part in parts[len(fixed) :]]
    root = os.path.realpath(Path(*fixed)).rstrip("/")
    return re.compile(re.escape(root) + "/" + "".join(wild).removesuffix("/"), re.DOTALL)


def _component(part: str) -> str:
    """Return the expression of one component of a pattern: wildcards stay within it and pass over hidden names."""
    inside = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
    inside = re.sub(r"(?<!\\)\.(\*)?", r"[^/]\1", inside)
    return inside if part.startswith(".") else rf"(?!\.){inside}"


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except FileNotFoundError:
        return frozenset()
    except NotADirectoryError:
        raise UnseeError(f"{folder}: maps would be written below it, but it is no folder: move it away") from None
