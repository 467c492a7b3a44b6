"""Lists of paths: text, CSV, TSV, JSON lines, JSON and parquet, plain or gzipped, local or remote, read as streams."""

import codecs
import csv
import io
import json
import os
import posixpath
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO, Any, Literal, NamedTuple

import pyarrow as pa
from fsspec.utils import infer_compression

from ... import png
from ...errors import UnseeError
from ...images import signed_format
from ...parquet import Table
from ..remote.filesystems import failure_of
from ..remote.opening import ReadingConfig, ReadingError, is_url, open_binary, open_stream
from .cells import column_size, holds_bytes, holds_text, plain_type
from .input import UNREADABLE_LIST, UnreadableSourceError

LIST_SUFFIXES = {
    ".txt": "txt",
    ".lst": "txt",
    ".list": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
LIST_KINDS = frozenset(LIST_SUFFIXES.values())
PATH_COLUMNS = ("path", "url", "image_path", "image_url", "file_name", "filename", "file", "image")

LONGEST_LINE = 1 << 20
MOST_LINES = 50
"""Lines that one row of a CSV file may go on over."""

LARGEST_JSON = 1 << 30
"""Bytes. JSON that is no JSON lines is held as a whole; longer lists are to be lines."""

TAB = ord("\t")
"""Text has no byte below."""
PNG_LINE = png.MAGIC[:6]
"""The first line of a PNG, within its signature."""
WIDE_TEXT = (codecs.BOM_UTF32_LE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Entry(NamedTuple):  # made a million times, which takes a dataclass three times as long
    """One entry of a list. number: its line, or its row, from 1. path: a path or URL, None for what is no such thing."""

    number: int
    path: str | None


def suffix_of(path: str) -> str:
    """Return the lower-case extension of a path, the one before `.gz` if that is the last."""
    stem, suffix = posixpath.splitext(path)
    return (posixpath.splitext(stem)[1] if suffix.lower() == ".gz" else suffix).lower()


def listed_entries(
    path: str, kind: str, column: str | None, reading: ReadingConfig, name: str | None = None
) -> Iterator[Entry]:
    """Yield what a list names, one entry at a time; an entry that cannot be a path comes without one.

    kind: txt, csv, tsv, json, jsonl or parquet. column: the column that holds the paths, None for the first of
    `PATH_COLUMNS` that is there. name: what errors call the list, its path where None. Raises `UnreadableSourceError` on
    a list that cannot be read as one.
    """
    shown = name or path
    try:
        with _opened(path, kind, reading) as file:
            for number, value in _values(file, kind, shown, column):
                yield Entry(number, value if isinstance(value, str) and _is_path(value) else None)
    except UnseeError:
        raise
    except (ReadingError, EOFError, ValueError, RecursionError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise _unreadable(shown, kind, str(error)) from None
    except Exception as error:  # remote file systems raise what their libraries do
        raise _unreadable(shown, kind, ": ".join(failure_of(error, path))) from None


def _unreadable(path: str, kind: str, reason: str) -> UnreadableSourceError:
    return UnreadableSourceError(f"{path}: not a readable {kind} list ({reason})", UNREADABLE_LIST)


def _opened(path: str, kind: str, reading: ReadingConfig) -> IO[bytes]:
    if kind == "parquet":
        return open_binary(path, reading)
    file = open_stream(path, reading)
    if is_url(path):
        file = io.BufferedReader(file)  # pyright: ignore[reportArgumentType]  # whose lines can be bounded
    compression = infer_compression(path)
    if compression is None:
        return file
    from fsspec.compression import compr

    return compr[compression](file, mode="rb")  # pyright: ignore[reportArgumentType]  # the registry's key None is its own


def _is_path(value: str) -> bool:
    """Tell whether a text can be a path or URL: not blank, and with characters that names of files can have."""
    if not value.strip() or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        return False
    return True


def _values(file: IO[bytes], kind: str, path: str, column: str | None) -> Iterator[tuple[int, Any]]:
    """Yield line or row, and whatever the list holds there as a path."""
    if kind == "parquet":
        return _parquet_values(file, path, column)
    if kind == "json":
        return _column_values(enumerate(_json_array(file), 1), path, column)
    lines = _lines(file)
    if kind == "txt":
        stripped = ((number, line if line is None else line.strip()) for number, line in lines)
        return ((number, line) for number, line in stripped if line is None or (line and not line.startswith("#")))
    if kind == "jsonl":
        full = ((number, line) for number, line in lines if line is None or line.strip())
        return _column_values(((number, _parsed(line)) for number, line in full), path, column)
    return _csv_values(lines, "\t" if kind == "tsv" else ",", path, column)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, str | None]]:
    """Yield number and text of each line; bytes that are not UTF-8 stay what they are, too long lines become None."""
    number, whole = 0, True
    while line := file.readline(LONGEST_LINE):
        if number == 0:
            _refuse_other_files(line)
            line = line.removeprefix(codecs.BOM_UTF8)
        begins, whole = whole, line.endswith(b"\n") or len(line) < LONGEST_LINE
        number += begins
        if begins:
            yield number, line.decode("utf-8", "surrogateescape") if whole else None


def _refuse_other_files(start: bytes) -> None:
    """Raise ValueError where a list begins as no text of ours does; start: its first line, or its first bytes."""
    if start.startswith(WIDE_TEXT):
        raise ValueError("the text is UTF-16 or UTF-32: convert it to UTF-8")
    if start[257:262] == b"ustar":
        raise ValueError("it is a tar: save it as a file, and name that")
    start = png.MAGIC if start == PNG_LINE else start[:16]
    if (min(start, default=TAB) < TAB or start >= b"\x80") and (name := signed_format(start)):
        raise ValueError(f"it is an image, a {name}: save it as a file, and name that")


def _json_array(file: IO[bytes]) -> list[Any]:
    data = file.read(LARGEST_JSON + 1)
    if len(data) > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON} bytes: write it as JSON lines, an entry a line")
    _refuse_other_files(data[:512])
    value = json.loads(data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape"))
    if not isinstance(value, list):
        raise ValueError("the JSON is no array of paths or of objects; for an object a line, use .jsonl")
    return value


def _parsed(line: str | None) -> Any:
    """Return the value of a line of JSON, None for one that is none."""
    try:
        return None if line is None else json.loads(line)
    except (ValueError, RecursionError):
        return None


def _column_values(rows: Iterable[tuple[int, Any]], path: str, column: str | None) -> Iterator[tuple[int, Any]]:
    """Yield the cells of JSON's rows, which are paths or objects.

    A row without the column is one bad entry, but a list none of whose objects has it was meant otherwise.
    """
    wanted = (column,) if column else PATH_COLUMNS
    objects, unsure = 0, list[int]()
    for number, row in rows:
        value = next((row[name] for name in wanted if name in row), None) if isinstance(row, dict) else row
        lacking = isinstance(row, dict) and not any(name in row for name in wanted)
        if lacking and not objects:
            unsure.append(number)
            continue
        objects += isinstance(row, dict)
        yield from ((earlier, None) for earlier in unsure)
        unsure.clear()
        yield number, value
    if unsure:
        raise _no_column(path, wanted)


def _no_column(path: str, wanted: Iterable[str]) -> UnseeError:
    message = f"{path}: no column {' or '.join(wanted)}; name it with --path-column"
    return UnreadableSourceError(message, UNREADABLE_LIST)


def _csv_values(
    lines: Iterator[tuple[int, str | None]], delimiter: str, path: str, column: str | None
) -> Iterator[tuple[int, Any]]:
    rows = _csv_rows(lines, delimiter)
    names = next((cells for _, cells in rows), None) or []
    place = names.index(_column(names, path, column))
    for number, cells in rows:
        if cells != []:
            yield number, cells[place] if cells and place < len(cells) else None


def _csv_rows(lines: Iterator[tuple[int, str | None]], delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line that each row begins in, and its cells, None for a row that cannot be read.

    A quote that nothing closes spoils its own line only: the lines behind it are read anew.
    """
    ahead: deque[tuple[int, str | None]] = deque()
    whole = chain.from_iterable(iter(lambda: [ahead.popleft()] if ahead else list(islice(lines, 1)), []))
    for number, line in whole:
        record = [(number, line)]
        while (
            (quotes := _quotes(record, delimiter)) == "open"
            and len(record) < MOST_LINES
            and (more := next(whole, None))
        ):
            record.append(more)
        is_row = quotes == "closed" or (quotes == "odd" and len(record) == 1)
        if not is_row:
            ahead.extendleft(reversed(record[1:]))
        yield number, _cells(record, delimiter) if is_row else None


def _quotes(record: list[tuple[int, str | None]], delimiter: str) -> Literal["open", "odd", "closed"]:
    """Tell whether a quote is open at a row's end, or quotes stand where none should, which many writers do."""
    try:
        next(csv.reader(_texts(record), delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        return "open" if "unexpected end" in str(error) else "odd"
    return "closed"


def _cells(record: list[tuple[int, str | None]], delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader(_texts(record), delimiter=delimiter), [])
    except csv.Error:
        return None


def _texts(record: list[tuple[int, str | None]]) -> list[str]:
    return ["\0" if line is None else line for _, line in record]  # no path holds this character


def _column(names: list[str], path: str, column: str | None) -> str:
    wanted = (column,) if column else PATH_COLUMNS
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise _no_column(path, wanted)
    return found


def _parquet_values(file: IO[bytes], path: str, column: str | None) -> Iterator[tuple[int, Any]]:
    table = Table(file)
    schema = table.schema
    name = _column(schema.names, path, column)
    kind = plain_type(schema.field(name).type)
    if not holds_text(kind) and not holds_bytes(kind):
        raise _unreadable(path, "parquet", f"column {name} is {kind}, not text; name another with --path-column")
    if any(
        column_size(table.metadata.row_group(group), name) > LARGEST_JSON
        for group in range(table.metadata.num_row_groups)
    ):
        raise _unreadable(path, "parquet", f"column {name} takes more than {LARGEST_JSON} bytes in one row group")
    for number, value in enumerate(table.values(name), 1):
        yield number, os.fsdecode(value) if isinstance(value, bytes) else value
