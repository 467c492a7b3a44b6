"""Parquet files read through Python's own files: names that are no UTF-8, URLs, pipes."""

from collections.abc import Iterator, Sequence
from typing import IO, Any

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
