"""Every format of results by its name: a new one is a module NAME_format beside this one."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Literal, TypeAlias

import pyarrow as pa

from .layout import DONE_MARK, JOURNAL_FILE, ROWS_FILE
from .rows import unreadable_result
from .sink import MapReader, Sink

SUFFIX = "_format"


def _sinks() -> dict[str, type[Sink]]:
    """Return the `SINK` of every module NAME_format of this package, by name."""
    modules = sorted(found.name for found in iter_modules([str(Path(__file__).parent)]) if found.name.endswith(SUFFIX))
    return {name.removesuffix(SUFFIX): import_module(f".{name}", __package__).SINK for name in modules}


SINKS: dict[str, type[Sink]] = {**_sinks(), "dummy": Sink}

OutputFormat: TypeAlias = Literal[tuple(SINKS)]  # pyright: ignore[reportInvalidTypeForm]


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
