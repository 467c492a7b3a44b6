"""Every format of results by its name: a new one is a file beside this one and a line here."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from .files_format import FilesSink
from .layout import DONE_MARK, JOURNAL_FILE, ROWS_FILE
from .npy_format import ArraySink
from .parquet_format import ParquetSink
from .rows import unreadable_result
from .sink import MapReader, Sink
from .webdataset_format import WebdatasetSink

OutputFormat = Literal["files", "webdataset", "parquet", "npy", "dummy"]

SINKS: dict[OutputFormat, type[Sink]] = {
    "files": FilesSink,
    "webdataset": WebdatasetSink,
    "parquet": ParquetSink,
    "npy": ArraySink,
    "dummy": Sink,
}


@dataclass(frozen=True)
class RunFiles:
    """Which files a run writes, by its output format and whether it makes masks; paths are relative to its folder."""

    output_format: OutputFormat
    masks: bool = False

    @property
    def sink(self) -> type[Sink]:
        """The format."""
        return SINKS[self.output_format]

    def of_image(self, output: str) -> Iterator[tuple[str, str]]:
        """Yield (what, path) of the files of one image that succeeds."""
        yield from self.sink.files_of_image(output, self.masks)

    def of_shard(self, shard: int) -> Iterator[tuple[str, str]]:
        """Yield (what, path) of the files of one shard as a whole, its done-mark first: it is the first to be removed."""
        yield "done-mark", DONE_MARK.format(shard=shard)
        yield "rows", ROWS_FILE.format(shard=shard)
        yield "journal", JOURNAL_FILE.format(shard=shard)
        yield from self.sink.files_of_shard(shard, self.masks)


def map_reader(folder: Path, shard: int, output_format: OutputFormat) -> MapReader:
    """Return a function from an input to its stored map and mask, None where there is no map.

    Raises `UnseeError` where the shard's archive or array is missing or damaged.
    """
    sink = SINKS[output_format]
    try:
        return sink.reader(folder, shard)
    except (OSError, EOFError, ValueError, KeyError, pa.ArrowException, tarfile.TarError) as error:
        raise unreadable_result(folder / sink.archive.format(shard=shard), error) from None
