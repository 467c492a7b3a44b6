"""Which images a user's words stand for: files, folders, patterns, lists and archives, as a stream in a fixed order."""

import glob
import itertools
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import fsspec

from ..errors import UnseeError
from .archives import parquet_inputs, tar_inputs
from .decoding import EXTENSIONS
from .inputs import Input, is_url
from .listings import LIST_SUFFIXES, listed_paths, suffix_of

InputFormat = Literal["auto", "files", "webdataset", "parquet", "txt", "csv", "tsv", "json", "jsonl"]


@dataclass(frozen=True)
class Sources:
    """What a run reads.

    inputs: files, folders, patterns, lists, archives, local or as fsspec URLs. format: what they are, `auto` going by
    name. path_column: column of a list that holds the path, None for the usual names.
    """

    inputs: tuple[str, ...]
    format: InputFormat = "auto"
    path_column: str | None = None

    def stream(self, left_out: Counter[str] | None = None) -> Iterator[Input]:
        """Yield every input in order; raise `UnseeError` on a source that does not exist or holds no image."""
        for source in self.inputs:
            for path, relative in self._files(source):
                yield from self._members(path, relative)

    def _files(self, source: str) -> Iterator[tuple[str, str]]:
        """Yield (path, relative output without extension) of the files a source stands for."""
        if is_url(source):
            return self._remote_files(source)
        if Path(source).is_dir():
            return self._folder(Path(source))
        if os.path.lexists(source):
            return iter([(source, stem_of(Path(source).name))])
        if glob.has_magic(source):
            return self._pattern(source)
        raise UnseeError(f"{source}: no such file, folder or pattern")

    def _folder(self, root: Path) -> Iterator[tuple[str, str]]:
        for directory, folders, names in os.walk(root):
            folders.sort()
            wanted = sorted(name for name in names if self._is_wanted(name))
            yield from siblings(directory, wanted, str(Path(directory).relative_to(root)))

    def _pattern(self, pattern: str) -> Iterator[tuple[str, str]]:
        fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
        matches = sorted(Path(match) for match in glob.iglob(pattern, recursive=True))
        wanted = [match for match in matches if self._is_wanted(match.name)]
        if not wanted:
            raise UnseeError(f"{pattern}: nothing that unsee reads matches")
        for directory, files in itertools.groupby(wanted, key=lambda path: path.parent):
            yield from siblings(str(directory), [file.name for file in files], str(directory.relative_to(fixed)))

    def _remote_files(self, source: str) -> Iterator[tuple[str, str]]:
        try:
            system, root = fsspec.core.url_to_fs(source)
            if glob.has_magic(root) and not source.startswith("http"):  # a web address may hold a question mark
                fixed = "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), root.split("/")))
                matches = sorted(str(path) for path in system.glob(root))
                folders = itertools.groupby(matches, key=lambda path: path.rpartition("/")[0])
                listing = ((folder, [path.rpartition("/")[2] for path in paths]) for folder, paths in folders)
            elif system.isdir(root):
                fixed, listing = root, ((folder, sorted(names)) for folder, _, names in system.walk(root))
            else:
                yield source, stem_of(PurePosixPath(root).name)
                return
            for folder, names in listing:
                wanted = [name for name in names if self._is_wanted(name)]
                relative = str(folder)[len(fixed.rstrip("/")) :].strip("/")
                for path, output in siblings(str(folder), wanted, relative):
                    yield str(system.unstrip_protocol(path)), output
        except (OSError, ImportError, ValueError) as error:
            raise UnseeError(f"{source}: cannot be listed ({type(error).__name__}: {error})") from None

    def _is_wanted(self, name: str) -> bool:
        """Tell whether a file found in a folder or by a pattern belongs to the run."""
        suffix = suffix_of(name)
        if name.startswith("."):
            return False
        if self.format in ("auto", "files"):
            return suffix in EXTENSIONS or (self.format == "auto" and suffix == ".tar")
        return suffix == {"webdataset": ".tar"}.get(self.format, f".{self.format}")

    def _members(self, path: str, relative: str) -> Iterator[Input]:
        """Yield the images of one file: its own, those of an archive, or those that a list names."""
        kind = self._kind(path)
        if kind == "webdataset":
            return tar_inputs(path, relative)
        if kind == "parquet" and (embedded := parquet_inputs(path, relative)) is not None:
            return embedded
        if kind == "files":
            return iter([Input(path, relative)])
        entries = listed_paths(path, kind, self.path_column)
        return (Input(_located(entry, path), _listed_output(entry)) for entry in entries)

    def _kind(self, path: str) -> str:
        if self.format != "auto":
            return self.format
        suffix = suffix_of(path)
        return "webdataset" if suffix == ".tar" else LIST_SUFFIXES.get(suffix, "files")


def siblings(directory: str, names: list[str], relative: str) -> Iterator[tuple[str, str]]:
    """Yield (path, output) for files of one folder; a stem that occurs twice keeps its extension: no map is overwritten."""
    stems = Counter(stem_of(name) for name in names)
    for name in names:
        stem = stem_of(name)
        yield f"{directory}/{name}", str(PurePosixPath(relative) / (stem if stems[stem] == 1 else name))


def stem_of(name: str) -> str:
    """Return a path without its last extension."""
    return posixpath.splitext(name)[0]


def _located(entry: str, listing: str) -> str:
    """Return where a listed path is: relative ones are seen from the list's folder."""
    if is_url(entry) or entry.startswith("/"):
        return entry
    return f"{listing.rpartition('/')[0]}/{entry}" if "/" in listing else entry


def _listed_output(entry: str) -> str:
    """Return the output of a listed path: mirrored, without root and without ways up, so that it stays in its folder."""
    if is_url(entry):
        parts = urlsplit(entry)
        entry = f"{parts.netloc}/{parts.path}"
    return stem_of("/".join(part for part in entry.split("/") if part not in ("", ".", "..")))
