"""Lists of paths: text, CSV, TSV, JSON lines, JSON and parquet, plain or gzipped, local or remote, read as streams."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UnseeError
from .inputs import open_binary

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
PATH_COLUMNS = ("path", "url", "image_path", "image_url", "file_name", "filename", "file", "image")


def suffix_of(path: str) -> str:
    """Return the lower-case extension of a path, the one before `.gz` if that is the last."""
    pure = PurePosixPath(path)
    return PurePosixPath(pure.stem).suffix.lower() if pure.suffix.lower() == ".gz" else pure.suffix.lower()


def listed_paths(path: str, kind: str, column: str | None) -> Iterator[str]:
    """Yield the paths or URLs that a list names, one at a time.

    kind: txt, csv, tsv, json, jsonl or parquet. column: the column that holds them, None for the first of `PATH_COLUMNS`
    that is there. Raises `UnseeError` on a list that cannot be read.
    """
    try:
        if kind == "parquet":
            yield from _parquet_paths(path, column)
            return
        with fsspec.open(path, "rb", compression="infer") as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")  # pyright: ignore[reportArgumentType]
            yield from _text_paths(text, kind, path, column)
    except (OSError, EOFError, ValueError, csv.Error, pa.ArrowException) as error:
        raise UnseeError(f"{path}: not a readable {kind} list ({error})") from None


def _text_paths(text: IO[str], kind: str, path: str, column: str | None) -> Iterator[str]:
    if kind == "txt":
        stripped = (line.strip() for line in text)
        yield from (line for line in stripped if line and not line.startswith("#"))
        return
    if kind in ("csv", "tsv"):
        rows: Iterable[Any] = csv.DictReader(text, delimiter="\t" if kind == "tsv" else ",")
    else:
        rows = json.load(text) if kind == "json" else (json.loads(line) for line in text if line.strip())
    for row in rows:
        yield row if isinstance(row, str) else _cell(row, path, column)


def _cell(row: dict[str, Any], path: str, column: str | None) -> str:
    value = row.get(_column(row, path, column))
    if not isinstance(value, str):
        raise ValueError(f"the path of row {dict(list(row.items())[:3])} is not text")
    return value


def _column(names: Iterable[str], path: str, column: str | None) -> str:
    wanted = (column,) if column else PATH_COLUMNS
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise UnseeError(f"{path}: no column {' or '.join(wanted)}; name it with --path-column")
    return found


def _parquet_paths(path: str, column: str | None) -> Iterator[str]:
    with open_binary(path) as file:
        table = pq.ParquetFile(file)
        name = _column(table.schema_arrow.names, path, column)
        for batch in table.iter_batches(columns=[name]):
            yield from (str(value) for value in batch.column(0).to_pylist())
