"""Where finished maps go."""

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import OutputError
from .config import OutputFormat


class Sink(ABC):
    """Receives the maps of one shard, from several threads; `flush` returns when they are on disk."""

    def encode(self, saliency: np.ndarray) -> bytes:
        """Return the stored form of a map, uint8 [H,W]: an 8-bit single-channel PNG."""
        buffer = io.BytesIO()
        Image.fromarray(saliency).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()

    @abstractmethod
    def write(self, key: str, output: str, data: bytes) -> None:
        """Store one encoded map under its key and its relative path without extension."""

    @abstractmethod
    def flush(self) -> None:
        """Force everything written to disk, so that the shard may be called done."""


class DummySink(Sink):
    """Stores nothing: measures all but writing."""

    def write(self, key: str, output: str, data: bytes) -> None:
        """Drop the map."""

    def flush(self) -> None:
        """Nothing is pending."""


class FilesSink(Sink):
    """PNG files under the mirrored relative paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []

    def write(self, key: str, output: str, data: bytes) -> None:
        """Write `<output>.png` under a temporary name, then rename it."""
        path = self.folder / f"{output}.png"
        temporary = path.with_name(f".{key}.tmp")  # fixed: a resumed run replaces what a killed one left
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        self.written.append(path)

    def flush(self) -> None:
        """Flush every map and its folder. Done once a shard: the kernel has written most of it by then."""
        for path in self.written:
            _fsync(path)
        for folder in {path.parent for path in self.written}:
            _fsync(folder)
        self.written.clear()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_sink(output_format: OutputFormat, folder: Path) -> Sink:
    """Return the sink of a shard for an output format."""
    return DummySink() if output_format == "dummy" else FilesSink(folder)
