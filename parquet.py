"""Parquet files read through Python's own files: names that are no UTF-8, URLs, pipes; and columns made of lists."""

from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Table:
    """A parquet file that is read in the calling thread alone.

    Arrow's own threads would hold the Python file, and where they let go of it as the interpreter ends, the process dies
    of it ("terminate called without an active exception").
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._file = pq.ParquetFile(source, pre_buffer=False)
        self.metadata: pq.FileMetaData = self._file.metadata
        self.schema: pa.Schema = self._file.schema_arrow

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns."""
        return self._file.read(list(columns), use_threads=False)

    def row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Return some columns of a row group."""
        return self._file.read_row_group(group, list(columns), use_threads=False)

    def values(self, column: str) -> Iterator[Any]:
        """Yield the values of a column."""
        for batch in self._file.iter_batches(columns=[column], use_threads=False):
            yield from batch.column(0).to_pylist()


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values of bytes, text or int64, None where there is none, as Arrow's array.

    `pa.array` imports pandas, where it is installed, to see whether a list is one of its series: 40 MB and half a second.
    """
    there = np.array([value is not None for value in values], bool)
    if not there.any():
        return pa.nulls(len(values), kind)
    validity = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    if pa.types.is_int64(kind):
        numbers = np.array([0 if value is None else value for value in values], np.int64)
        return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)])
    texts = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    return pa.Array.from_buffers(kind, len(texts), [validity, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])
