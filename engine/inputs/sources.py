"""Which images a user's words stand for: files, folders, patterns, lists and archives, as a stream in a fixed order."""

import glob
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from ...errors import UnseeError, first_line
from ...formats import EXTENSIONS
from ...input_parts import Part, PartChoice
from ..remote.filesystems import UNKNOWN_PROTOCOL, file_system, is_http, require_protocols
from ..remote.opening import ReadingConfig, is_url
from .archives import Directories, parquet_inputs, problem_output, tar_inputs
from .braces import expanded, has_braces
from .input import BAD_LIST_ENTRY, UNREADABLE_FOLDER, Input, UnreadableSourceError, located
from .listings import LIST_KINDS, LIST_SUFFIXES, Entry, listed_entries, suffix_of
from .pipes import Spool, is_handed_over, is_pipe, pipe_name
from .trees import EVERYTHING, LocalTree, RemoteTree, Search, Tree, leave_out, mirrored, split_pattern, suffix_reason

InputFormat = Literal["auto", "files", "webdataset", "parquet", "txt", "csv", "tsv", "json", "jsonl"]

MOST_OTHERS = 1000
"""Files that are no archives, among which tars are looked for to be read ahead."""

UNREAD_ARCHIVES = (".zip", ".7z", ".rar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".bz2", ".xz", ".zst")


class _File(NamedTuple):
    """A file that a source stands for. output: of its image, or of what is in it. named: by the user, not found."""

    path: str
    output: str
    suffix: str
    named: bool
    problem: str | None = None


@dataclass(frozen=True)
class Sources:
    """What a run reads.

    inputs: files, folders, patterns, lists, archives, local or as fsspec URLs. format: what they are, `auto` going by
    name. path_column: column of a list that holds the path, None for the usual names. part: which of several parts of all
    this, as 3/16, see `Part`. image_column, allow_hosts: see `ReadingConfig`.
    """

    inputs: tuple[str, ...]
    format: Annotated[InputFormat, "what the inputs are; auto goes by name"] = "auto"
    path_column: Annotated[str | None, "column of a list that holds paths or URLs"] = None
    part: Annotated[str | None, "one part of the inputs, as 3/16: for machines that share nothing"] = None
    image_column: Annotated[str | None, "column of a parquet file that holds images (default: by type and name)"] = None
    allow_hosts: Annotated[tuple[str, ...], "hosts with private addresses that may be read, with commas, or all"] = ()
    _spool: Spool = field(default_factory=Spool, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(self.inputs):
            raise UnseeError("an input has no name: . is this folder")
        if self.part is not None:
            Part.parsed(self.part)

    @property
    def reading(self) -> ReadingConfig:
        """The bounds within which lists and archives are read while planning."""
        return ReadingConfig(timeout=float("inf"), allow_hosts=self.allow_hosts, image_column=self.image_column)

    def stream(self, left_out: Counter[str] | None = None, directories: Directories | None = None) -> Iterator[Input]:
        """Yield every input in order.

        left_out: counts, by reason, what folders, patterns and archives hold besides. directories: of tars that were read
        ahead, see `tars`. Raises `UnseeError` on a source that does not exist or holds no image, `MissingExtraError` on a
        URL that needs a package which is not installed.
        """
        counts: Counter[str] = Counter() if left_out is None else left_out
        choice = PartChoice(None if self.part is None else Part.parsed(self.part))
        for place, source in enumerate(self.inputs, 1):
            if is_handed_over(source) or (self.format in LIST_KINDS and is_pipe(source)):
                members = self._piped(source, pipe_name(source, place), choice)
            else:
                members = self._chosen_members(self._files(source, None, counts), counts, choice, directories)
            yield from map(_with_protocol, members)

    def tars(self) -> Iterator[str]:
        """Yield the local tars that `stream` opens, in its order, for whoever wants to read ahead.

        It ends where it cannot go on, which is for `stream` to say, and where tars are too rare to be looked for.
        """
        choice, others = PartChoice(None if self.part is None else Part.parsed(self.part)), 0
        sources = (source for source in self.inputs if not is_url(source) and not is_handed_over(source))
        with suppress(UnseeError, OSError):
            for file in chain.from_iterable(self._files(source, None, Counter()) for source in sources):
                kind = "files" if file.problem else self._kind(file)
                if self._is_archive(kind) and choice.next_archive() and kind == "webdataset":
                    yield file.path
                others += not self._is_archive(kind)
                if others > MOST_OTHERS:
                    return

    def _files(self, source: str, base: str | None, counts: Counter[str]) -> Iterator[_File]:
        """Yield the files a source stands for; outputs are relative to `base`, to the source itself where None."""
        if is_url(source):
            return self._remote_files(source, base, counts)
        if Path(source).is_dir():
            return self._searched(LocalTree(), str(Path(source)), EVERYTHING, _below(source, base), counts)
        if os.path.lexists(source):
            return iter([_named(source, _below(posixpath.dirname(source), base))])
        if has_braces(source):
            return self._expanded(source, counts)
        if not glob.has_magic(source):
            raise UnseeError(f"{source}: no such file, folder or pattern")
        fixed, pattern = split_pattern(source)
        if not Path(fixed).is_dir():
            raise UnseeError(f"{source}: nothing that unsee reads matches: there is no folder {fixed}")
        return self._matched(LocalTree(), source, fixed, pattern, _below(fixed, base), counts)

    def _expanded(self, source: str, counts: Counter[str]) -> Iterator[_File]:
        first = min(place for place in map(source.find, "{*?[") if place >= 0)
        base = source[:first].rpartition("/")[0]
        for member in expanded(source):
            yield from self._files(member, base, counts)

    def _remote_files(self, source: str, base: str | None, counts: Counter[str]) -> Iterator[_File]:
        if has_braces(source):
            yield from self._expanded(source, counts)
            return
        try:
            system, root = file_system(source, self.allow_hosts, float("inf"))
            tree = RemoteTree(system)
            if glob.has_magic(root) and not is_http(source):  # a web address may hold a question mark
                fixed, pattern = split_pattern(root)
                inside = _below(split_pattern(source)[0], base)
                yield from self._matched(tree, source, fixed, pattern, inside, counts)
            elif source.endswith("/") if is_http(source) else system.isdir(root):
                yield from self._searched(tree, root, EVERYTHING, _below(source.rstrip("/"), base), counts)
            else:
                yield _named(source, _below(source.rpartition("/")[0], base))
        except UnseeError:
            raise
        except Exception as error:  # remote file systems raise what their libraries do
            raise UnseeError(f"{source}: cannot be listed ({type(error).__name__}: {first_line(error)})") from None

    def _matched(
        self, tree: Tree, source: str, fixed: str, pattern: tuple[str, ...], inside: str, counts: Counter[str]
    ) -> Iterator[_File]:
        """Yield the files that a pattern matches; raise `UnseeError` where there is none."""
        empty = True
        for file in self._searched(tree, fixed, pattern, inside, counts):
            empty = False
            yield file
        if empty:
            raise UnseeError(f"{source}: nothing that unsee reads matches")

    def _searched(
        self, tree: Tree, root: str, pattern: tuple[str, ...], inside: str, counts: Counter[str]
    ) -> Iterator[_File]:
        """Yield the files of a search that belong to the run; where there is none, its lists and parquet files."""
        named = frozenset({suffix_of(pattern[-1])}) & LIST_SUFFIXES.keys()
        left_out: Counter[str] = Counter()
        empty = True
        for file in self._chosen(tree, root, pattern, inside, named, left_out):
            empty = empty and file.problem is not None
            yield file
        if empty and self.format == "auto":
            lists = frozenset({".parquet"}) if pattern == EVERYTHING else frozenset(LIST_SUFFIXES)
            left_out_then: Counter[str] = Counter()
            for file in self._chosen(tree, root, pattern, inside, lists, left_out_then):
                if not file.problem:
                    left_out = left_out_then
                    yield file
        for reason, count in left_out.items():
            leave_out(counts, reason, count)

    def _chosen(
        self,
        tree: Tree,
        root: str,
        pattern: tuple[str, ...],
        inside: str,
        lists: frozenset[str],
        left_out: Counter[str],
    ) -> Iterator[_File]:
        for found in Search(tree, pattern, left_out).below(root):
            path = tree.address(found.path)
            stem, suffix = posixpath.splitext(found.relative)
            if found.unreadable_folder and not found.relative:
                raise UnseeError(f"{path}: this folder cannot be listed: no permission, or gone")
            if found.unreadable_folder:
                yield _File(path, problem_output(path, UNREADABLE_FOLDER), "", False, UNREADABLE_FOLDER)
            elif self._accepts(found.relative, suffix.lower(), lists):
                yield _File(path, f"{inside}/{stem}" if inside else stem, suffix, False)
            else:
                leave_out(left_out, suffix_reason(suffix.lower()))

    def _accepts(self, name: str, suffix: str, lists: frozenset[str]) -> bool:
        """Tell whether a file found in a folder or by a pattern belongs to the run."""
        if self.format in ("auto", "files") and suffix in EXTENSIONS:
            return True
        suffix = suffix_of(name)  # the one before .gz
        if self.format in ("auto", "files"):
            return self.format == "auto" and (suffix == ".tar" or suffix in lists)
        return suffix == ".tar" if self.format == "webdataset" else LIST_SUFFIXES.get(suffix) == self.format

    def _chosen_members(
        self, files: Iterator[_File], counts: Counter[str], choice: PartChoice, directories: Directories | None
    ) -> Iterator[Input]:
        """Yield the images of files that are in the part; an archive of another one is not even opened."""
        for file in files:
            kind = "files" if file.problem else self._kind(file)
            if kind == "files":
                if choice.next_image():
                    yield Input(file.path, file.output, problem=file.problem, suffix=file.suffix)
            elif not self._is_archive(kind):
                yield from self._members(file, kind, counts, choice, None)
            elif choice.next_archive():
                yield from self._members(file, kind, counts, PartChoice(None), directories)

    def _is_archive(self, kind: str) -> bool:
        """Say whether a file holds images, or may: a parquet file of paths counts as one, too."""
        return kind == "webdataset" or (kind == "parquet" and not self.path_column)

    def _members(
        self, file: _File, kind: str, counts: Counter[str], choice: PartChoice, directories: Directories | None
    ) -> Iterator[Input]:
        """Yield the images of an archive, or those that a list names and that are in the part."""
        try:
            if kind == "webdataset":
                yield from tar_inputs(file.path, file.output, self.reading, counts, directories)
            else:
                yield from self._content(file, kind, choice)
        except UnreadableSourceError as error:
            if file.named:
                raise
            if choice.next_image():
                yield Input(file.path, problem_output(file.path, error.problem), problem=error.problem)

    def _content(self, file: _File, kind: str, choice: PartChoice) -> Iterator[Input]:
        if kind == "parquet" and not self.path_column:
            embedded = parquet_inputs(file.path, file.output, self.reading)
            if embedded is not None:
                return embedded
        return self._listed(file.path, kind, file.path, choice)

    def _kind(self, file: _File) -> str:
        """Return what a file is: an image, or what its suffix says; raise `UnseeError` on archives of other kinds."""
        if self.format != "auto":
            return self.format
        if file.suffix.lower() in EXTENSIONS and not is_http(file.path):
            return "files"
        name = _file_name(file.path)
        if file.named and file.suffix.lower() in UNREAD_ARCHIVES and suffix_of(name) != ".tar":
            raise UnseeError(
                f"{file.path}: {file.suffix} archives are not read: unpack it into a folder or a plain tar"
            )
        suffix = suffix_of(name)
        return "webdataset" if suffix == ".tar" else LIST_SUFFIXES.get(suffix, "files")

    def _piped(self, source: str, name: str, choice: PartChoice) -> Iterator[Input]:
        """Yield what a list names that comes through a pipe: lines of text unless the format says otherwise."""
        kind = "txt" if self.format == "auto" else self.format
        if kind not in LIST_KINDS or kind == "parquet":
            raise UnseeError(f"{source}: a pipe can bring a list only; save what it brings into a file first")
        return self._listed(self._spool.file(source), kind, name, choice)

    def _listed(self, path: str, kind: str, name: str, choice: PartChoice) -> Iterator[Input]:
        entries = listed_entries(path, kind, self.path_column, self.reading, name)
        return (_listed_input(entry, name) for entry in entries if choice.next_image())


def _named(source: str, inside: str) -> _File:
    output, suffix = posixpath.splitext(posixpath.join(inside, posixpath.basename(_file_name(source))))
    return _File(source, output, suffix, True)


def _file_name(path: str) -> str:
    """Return a path without what a web address has behind it."""
    return urlsplit(path).path if is_http(path) else path


def _below(path: str, base: str | None) -> str:
    """Return the folder of outputs for a path that is one of several below `base`, without ways up."""
    if base is None:
        return ""
    return mirrored(path if base == "." else path[len(base) :])


def _listed_input(entry: Entry, holder: str) -> Input:
    """Return what a list's entry names; one that names nothing becomes an input with a problem."""
    output = "" if entry.path is None else _listed_output(entry.path)
    if entry.path is not None and output:
        stem, suffix = posixpath.splitext(output)
        return Input(located(entry.path, holder), stem, suffix=suffix)
    place = f"{holder}:{entry.number}"
    return Input(place, problem_output(place, BAD_LIST_ENTRY), problem=BAD_LIST_ENTRY)


def _listed_output(entry: str) -> str:
    """Return the output of a listed path: mirrored, without root and without ways up, so that it stays in its folder."""
    if is_url(entry):
        try:
            parts = urlsplit(entry)
        except ValueError:  # such as half of a bracketed address
            return ""
        entry = f"{parts.netloc}/{parts.path}"
    return mirrored(entry)


def _with_protocol(member: Input) -> Input:
    """Return an input as it is, or with a problem if its URL is of a kind that nothing opens."""
    if member.problem or not is_url(member.path):
        return member
    try:
        require_protocols(member.path)
    except ValueError:
        return replace(member, problem=UNKNOWN_PROTOCOL)
    return member
