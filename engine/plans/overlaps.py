"""Keeping a run from writing over what it reads, over what it did not make, and over its own results.

Paths are compared in canonical form: links in their folders are resolved, so that every spelling of a file is one. They are
bytes, and 8 bytes of each are kept: a plan may have millions.
"""

import itertools
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import UnseeError
from ...terminal import counted
from ..inputs.trees import PathPattern, split_pattern
from ..outputs.layout import plan_files
from ..outputs.output_formats import RunFiles
from ..outputs.plan import planned_rows, row_columns
from ..workers.pipeline import batched
from .fingerprint import BLOCK, among, hash_array, holds, short_hash
from .identities import short_hashes


@dataclass(frozen=True)
class Written:
    """A file that a run writes: what it is (map, mask, rows, ...), of what, and its path relative to the run directory."""

    what: str
    whose: str
    path: str

    def __str__(self) -> str:
        return f"the {self.what} of {self.whose}"


class Canonical:
    """Canonical paths: folders with their links resolved, and the last name as it is, for that is what gets replaced."""

    def __init__(self) -> None:
        self.folder = lru_cache(maxsize=4096)(_resolved)

    def __call__(self, path: bytes) -> bytes:
        """Return the canonical path of a file."""
        return self.all([path])[0]

    def all(self, paths: Iterable[bytes]) -> list[bytes]:
        """Return the canonical paths of files; those in one folder had better follow each other."""
        found, last, start = list[bytes](), None, b""
        for path in paths:
            folder, slash, name = path.rpartition(b"/")
            if folder + slash != last:
                last, start = folder + slash, self.folder(folder or slash or b".") + b"/"
            found.append(start + name)
        return found

    def hash(self, path: bytes) -> int:
        """Return 8 bytes that tell canonical paths apart."""
        return short_hash(self(path))

    def hashes(self, paths: Iterable[bytes]) -> np.ndarray:
        """Return what `hash` returns of each path."""
        return hash_array(short_hashes(self.all(paths)))


class OverlapCheck:
    """Compares the files that a run would write with each other, with its inputs, and with what is in its folder.

    rows: file of the planned inputs. made: yields the relative paths of the files that an earlier run of the folder made,
    which may be replaced, and must not be read either.
    """

    def __init__(
        self, folder: Path, rows: Path, files: RunFiles, shards: int, made: Callable[[], Iterable[str]]
    ) -> None:
        self.folder = os.fsencode(folder)
        self.rows, self.files, self.shards = rows, files, shards
        self.canonical = Canonical()
        self._names = lru_cache(maxsize=64)(_names)
        self._made = self._hashes_of_made(made())
        self._folders = array("Q")
        paths = self._sorted_hashes()
        self._refuse_doubles(paths)
        self._refuse_folders_as_files(paths)
        self._touched = np.sort(np.concatenate([paths, self._made])) if len(self._made) else paths

    def refuse_inputs(self, given: Iterable[str], through_links: bool) -> None:
        """Raise `UnseeError` naming an input that would be written over.

        given: further files that are read. through_links: follow inputs that are links themselves.
        """
        for paths in batched(self._inputs(given), BLOCK):
            touched = among(self._touched, self.canonical.hashes(paths))
            if touched.any():
                self._refuse_input(paths[int(touched.argmax())])
        for path in self._inputs(given) if through_links else ():
            if os.path.islink(path) and holds(self._touched, short_hash(os.path.realpath(path))):  # noqa: PTH114
                self._refuse_input(path)

    def refuse_pattern(self, pattern: str) -> None:
        """Raise `UnseeError` where the same pattern, given again, would take results of this run for inputs."""
        fixed, parts = split_pattern(pattern)
        root, reach = os.path.realpath(os.fsencode(fixed)).rstrip(b"/") + b"/", PathPattern(parts)
        if not (self.canonical.folder(self.folder) + b"/").startswith(root):
            return
        for written in self._all_written():
            place = self.canonical(self._place(os.fsencode(written.path)))
            if place.startswith(root) and reach.reaches(os.fsdecode(place[len(root) :])):
                raise UnseeError(
                    f"{pattern} would match {written.path}, {written}, when the command is given again: "
                    "choose an output folder that the pattern does not reach"
                )

    def _sorted_hashes(self) -> np.ndarray:
        hashes = bytearray()
        for some in self._hashes():
            hashes += some
        paths = hash_array(hashes)
        paths.sort()
        return paths

    def _hashes(self) -> Iterator[bytes]:
        """Yield the hashes of every file that is written; refuse those that are there and were made by no run."""
        for written in self._fixed():
            folder, _, name = os.fsencode(written.path).rpartition(b"/")
            yield self._of_folder(folder, [name])
        suffixes = [os.fsencode(path) for _, path in self.files.of_image("")]
        for (outputs,) in row_columns(self.rows, "output") if suffixes else ():
            for folder, members in itertools.groupby(outputs, key=_folder_of):
                start = len(folder) + 1 if folder else 0
                yield self._of_folder(folder, [output[start:] + suffix for output in members for suffix in suffixes])

    def _of_folder(self, folder: bytes, names: list[bytes]) -> bytes:
        """Return the hashes of files in one folder of the run directory."""
        place = self._place(folder)
        canonical, there = self.canonical.folder(place) + b"/", self._names(place)
        self._folders.extend(self.canonical.hash(self._place(part)) for part in _and_above(folder))
        hashes = short_hashes([canonical + name for name in names])
        if there:
            found = [int(one) for name, one in zip(names, hash_array(hashes), strict=True) if name in there]
            stranger = next((one for one in found if not holds(self._made, one)), None)
            if stranger is not None:
                self._refuse_stranger(stranger)
        return hashes

    def _hashes_of_made(self, made: Iterable[str]) -> np.ndarray:
        """Return sorted hashes of files and of the folders that they lie in."""
        hashes, last = array("Q"), b""
        for path in map(os.fsencode, made):
            hashes.append(self.canonical.hash(self._place(path)))
            folder = path.rpartition(b"/")[0]
            if folder != last:
                last = folder
                hashes.extend(self.canonical.hash(self._place(part)) for part in _and_above(folder))
        return np.unique(np.array(hashes, np.uint64))

    def _inputs(self, given: Iterable[str]) -> Iterator[bytes]:
        """Yield every local file that is read, each archive once."""
        last = b""
        listed = (path for (paths,) in row_columns(self.rows, "path") for path in paths)
        for path in itertools.chain(map(os.fsencode, given), listed):
            if path != last and b"://" not in path:
                last = path
                yield path

    def _fixed(self) -> Iterator[Written]:
        """Yield the files of the plan and of the shards."""
        yield from (Written(what, "the run", path) for what, path in plan_files())
        for shard in range(self.shards):
            yield from (Written(what, f"shard {shard:05d}", path) for what, path in self.files.of_shard(shard))

    def _all_written(self) -> Iterator[Written]:
        """Yield every file that is written; only to name one of them."""
        yield from self._fixed()
        for planned, _ in planned_rows(self.rows):
            for what, path in self.files.of_image(planned.input.output):
                yield Written(what, planned.input.place, path)

    def _with_hash(self, wanted: set[int]) -> Iterator[Written]:
        return (written for written in self._all_written() if self._hash(written) in wanted)

    def _refuse_doubles(self, paths: np.ndarray) -> None:
        shared = paths[1:][paths[1:] == paths[:-1]]
        if len(shared) == 0:
            return
        first, second = itertools.islice(self._with_hash({int(shared[0])}), 2)
        if first.whose == second.whose:
            raise UnseeError(
                f"{first.whose} is among the inputs more than once, which gives its map twice: "
                "name it once, or use --output-names key"
            )
        raise UnseeError(
            f"{counted(len(shared), 'output')} would be written more than once, such as {first.path}, {first} and "
            f"{second}: run them into separate output folders, or use --output-names key"
        )

    def _refuse_folders_as_files(self, paths: np.ndarray) -> None:
        folders = np.sort(np.array(self._folders, np.uint64))
        both = folders[among(paths, folders)]
        if len(both):
            written = next(self._with_hash({int(both[0])}))
            raise UnseeError(
                f"{written.path} would be {written} and a folder of other maps: "
                "run them into separate output folders, or use --output-names key"
            )

    def _refuse_stranger(self, found: int) -> None:
        written = next(self._with_hash({found}))
        raise UnseeError(
            f"{os.fsdecode(self.folder)}/{written.path} is there and no run made it: {written} would be written over it; "
            "move it away, or choose another output folder"
        )

    def _refuse_input(self, path: bytes) -> None:
        written = next(self._with_hash({self.canonical.hash(path), short_hash(os.path.realpath(path))}), None)
        what = str(written) if written else "the results of an earlier run"
        raise UnseeError(
            f"{os.fsdecode(path)} is an input, and {what} would be written over it: choose another output folder"
        )

    def _hash(self, written: Written) -> int:
        return self.canonical.hash(self._place(os.fsencode(written.path)))

    def _place(self, path: bytes) -> bytes:
        return self.folder + b"/" + path if path else self.folder


def _resolved(folder: bytes) -> bytes:
    return os.path.realpath(folder)


def _folder_of(output: bytes) -> bytes:
    return output.rpartition(b"/")[0]


def _and_above(folder: bytes) -> Iterator[bytes]:
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


def _names(folder: bytes) -> frozenset[bytes]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except FileNotFoundError:
        return frozenset()
    except NotADirectoryError:
        place = os.fsdecode(folder)
        raise UnseeError(f"{place}: maps would be written below it, but it is no folder: move it away") from None
