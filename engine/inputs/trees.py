"""Folders of files, local or remote, and searching them by pattern: one walk for folders and for patterns."""

import errno
import fnmatch
import glob
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from ...names import printable

EVERYTHING = ("**", "*")
"""The pattern of a folder: every file at any depth."""

NOWHERE = ("", ".", "..")
"""Parts of a path that are no part of an output."""

NOTHING = "(?!)"
"""An expression that no name matches."""

MOST_REASONS = 50
LONGEST_SUFFIX = 12

FolderIdentity = tuple[int, int]
"""Device and inode."""


def leave_out(counts: Counter[str], reason: str, count: int = 1) -> None:
    """Count what is left out, by a bounded number of reasons."""
    known = reason in counts or len(counts) < MOST_REASONS
    counts[reason if known else "other"] += count


def suffix_reason(suffix: str) -> str:
    """Return why a file with this suffix is left out."""
    if not suffix:
        return "files without suffix"
    return f"files with suffix {printable(suffix)}" if len(suffix) <= LONGEST_SUFFIX else "files with a long suffix"


class Entry(NamedTuple):  # as `Found`: made a million times, which takes a dataclass three times as long
    """What a folder holds. identity: of a folder, where it has one; problem: why it cannot be told what it is."""

    name: str
    path: str
    is_folder: bool
    identity: FolderIdentity | None = None
    problem: bool = False


class Found(NamedTuple):
    """A file that a search found, or a folder that it could not look into. relative: its path below the root."""

    path: str
    relative: str
    unreadable_folder: bool = False


class Tree(ABC):
    """A file system as searches see it."""

    @abstractmethod
    def entries(self, folder: str) -> list[Entry]:
        """Return what a folder holds, sorted by name; raise `OSError` where it cannot be listed."""

    def identity(self, folder: str) -> FolderIdentity | None:
        """Return what tells a folder from all others, whatever the links that lead to it; None without links."""
        del folder

    def address(self, path: str) -> str:
        """Return how an input is called that lies at a path."""
        return path


class LocalTree(Tree):
    """The file system of this machine; links to folders are followed."""

    def entries(self, folder: str) -> list[Entry]:
        """Return what a folder holds, sorted by name."""
        with os.scandir(folder) as found:
            return sorted([_local_entry(entry) for entry in found], key=attrgetter("name"))

    def identity(self, folder: str) -> FolderIdentity | None:
        """Return device and inode of a folder."""
        return _identity(folder)


def _local_entry(entry: "os.DirEntry[str]") -> Entry:
    try:
        is_folder = entry.is_dir()
    except OSError as error:  # only of links, since a folder tells what others are; one to itself is no folder
        return Entry(entry.name, entry.path, False, problem=error.errno != errno.ELOOP)
    return Entry(entry.name, entry.path, is_folder, _identity(entry.path) if is_folder else None)


def _identity(folder: str) -> FolderIdentity | None:
    """Return device and inode of a folder."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - a name of many bytes costs less this way
    except OSError:  # listing it will say so
        return None
    return status.st_dev, status.st_ino


class RemoteTree(Tree):
    """A file system of fsspec."""

    def __init__(self, system: Any) -> None:
        self.system = system

    def entries(self, folder: str) -> list[Entry]:
        """Return what a folder holds, sorted by name; an object that stands for the folder itself is no part of it."""
        inside = folder.rstrip("/") + "/"
        names = {
            str(item["name"]).rstrip("/").removeprefix(inside): item["type"] == "directory"
            for item in self._listed(folder)
        }
        own = sorted(name for name in names if name and "/" not in name)
        return [Entry(name, inside + name, names[name]) for name in own]

    def address(self, path: str) -> str:
        """Return the URL of a path."""
        return str(self.system.unstrip_protocol(path))

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        try:
            return self.system.ls(folder, detail=True)
        except OSError:
            raise
        except Exception as error:  # remote file systems raise what their libraries do
            raise OSError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class PathPattern:
    """A pattern of names, one a folder deep, and of `**`. A path is followed by its states: places at which it continues."""

    parts: tuple[str, ...]

    @property
    def end(self) -> int:
        """The state of a path that the whole pattern matches."""
        return len(self.parts)

    def start(self) -> frozenset[int]:
        """Return the states before the first name."""
        return self._closed({0})

    def after(self, states: frozenset[int], name: str, dots_count: bool) -> frozenset[int]:
        """Return the states after a name; dots_count: a hidden name must be named as such."""
        following: set[int] = set()
        hidden = dots_count and name.startswith(".")
        for state in states - {self.end}:
            part = self.parts[state]
            if part == "**":
                following |= set() if hidden else {state}
            elif fnmatch.fnmatchcase(name, part) and not (hidden and not part.startswith(".")):
                following.add(state + 1)
        return self._closed(following)

    def last_name(self, states: frozenset[int]) -> re.Pattern[str]:
        """Return what a name, none that is hidden, must match to end a path."""
        lasts = (part for state, part in enumerate(self.parts) if state in states and self._may_end(state, part))
        return re.compile("|".join(map(fnmatch.translate, lasts)) or NOTHING)

    def _may_end(self, state: int, part: str) -> bool:
        return self.end in self._closed({state if part == "**" else state + 1})

    def reaches(self, path: str) -> bool:
        """Tell whether the pattern matches a path, hidden names as all others."""
        states = self.start()
        for name in path.split("/"):
            states = self.after(states, name, dots_count=False)
        return self.end in states

    def _closed(self, states: set[int]) -> frozenset[int]:
        """Add the places behind `**`, which also stands for no folder at all."""
        closed = set(states)
        for state, part in enumerate(self.parts):
            if state in closed and part == "**":
                closed.add(state + 1)
        return frozenset(closed)


@dataclass(frozen=True)
class _Folder:
    """A folder that a search still has to look into. states: see `PathPattern`."""

    path: str
    relative: str
    states: frozenset[int]
    ancestors: frozenset[FolderIdentity]


class Search:
    """A walk of a tree that yields the files of each folder, sorted, before its sub-folders.

    Links to folders are followed unless they lead to a folder that they are in. Names that begin with a dot are left out
    unless the pattern names the dot. What is left out is counted in `left_out`.
    """

    def __init__(self, tree: Tree, pattern: tuple[str, ...], left_out: Counter[str]) -> None:
        self.tree = tree
        self.pattern = PathPattern(pattern)
        self.left_out = left_out

    def below(self, root: str) -> Iterator[Found]:
        """Yield what matches below a folder; folders that cannot be listed too, as such."""
        identity = self.tree.identity(root)
        start = _Folder(root, "", self.pattern.start(), frozenset({identity} if identity else ()))
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            try:
                entries = self.tree.entries(folder.path)
            except OSError:
                yield Found(folder.path, folder.relative, unreadable_folder=True)
                continue
            yield from self._files(folder, entries)
            waiting += reversed(self._folders(folder, entries))

    def _files(self, folder: _Folder, entries: list[Entry]) -> Iterator[Found]:
        above = f"{folder.relative}/" if folder.relative else ""
        last_name = self.pattern.last_name(folder.states)
        for entry in entries:
            if entry.is_folder:
                continue
            if entry.problem:
                yield Found(entry.path, above + entry.name, unreadable_folder=True)
            elif self._hidden(folder, entry.name) if entry.name.startswith(".") else last_name.match(entry.name):
                yield Found(entry.path, above + entry.name)

    def _hidden(self, folder: _Folder, name: str) -> bool:
        """Tell whether the pattern means a file with a hidden name; count one that only its dot keeps out."""
        matches = self.pattern.end in self.pattern.after(folder.states, name, True)
        if not matches and self.pattern.end in self.pattern.after(folder.states, name, False):
            leave_out(self.left_out, "hidden files")
        return matches

    def _folders(self, folder: _Folder, entries: list[Entry]) -> list[_Folder]:
        entered = (self._entered(folder, entry) for entry in entries if entry.is_folder)
        return [inner for inner in entered if inner]

    def _entered(self, folder: _Folder, entry: Entry) -> _Folder | None:
        """Return a sub-folder as one to look into, None where the pattern or a rule says otherwise."""
        states = self.pattern.after(folder.states, entry.name, True)
        ended = {self.pattern.end}
        if not states:
            if self.pattern.after(folder.states, entry.name, False) - ended:
                leave_out(self.left_out, "hidden folders")
            return None
        if states == ended:
            leave_out(self.left_out, "folders that a pattern names")
            return None
        if entry.identity in folder.ancestors:
            leave_out(self.left_out, "loops of links")
            return None
        identities = {entry.identity} if entry.identity else set[FolderIdentity]()
        return _Folder(entry.path, _joined(folder.relative, entry.name), states, folder.ancestors | identities)


def split_pattern(pattern: str) -> tuple[str, tuple[str, ...]]:
    """Return the fixed folder in front of a pattern, and the pattern's parts behind it."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    fixed = "/".join(parts[:first])
    return fixed or ("/" if first else "."), tuple(part for part in parts[first:] if part not in ("", "."))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def mirrored(path: str) -> str:
    """Return a path without root and without ways up, so that it stays in the folder that it is put in."""
    return "/".join([part for part in path.split("/") if part not in NOWHERE])
