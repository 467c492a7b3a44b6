"""Images inside larger files: webdataset tars and parquet files with image bytes. Only their directories are read here."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UnseeError
from .decoding import EXTENSIONS
from .inputs import DAMAGED_ARCHIVE, DUPLICATE_NAME, Input, image_column, open_binary

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""First bytes of gzip, bzip2, xz and zstd."""


def tar_inputs(path: str, relative: str) -> Iterator[Input]:
    """Yield the images of a tar, as img2dataset and clip-retrieval write them, by their place in it.

    What follows a damaged header, and a second member of one name, become inputs with a problem: rows, never silence.
    """
    names: set[str] = set()
    try:
        with open_binary(path) as file, _opened(file, path) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # tarfile keeps every header it has read
                member = PurePosixPath(info.name)
                if info.isfile() and member.suffix.lower() in EXTENSIONS:
                    yield _tar_member(path, relative, info, names)
    except (tarfile.TarError, EOFError) as error:
        if not names and isinstance(error, tarfile.ReadError) and "compressed" in str(error):
            raise UnseeError(
                f"{path}: a compressed tar cannot be read in place; unpack the compression first"
            ) from None
        yield Input(path, f"{relative}/{DAMAGED_ARCHIVE}", problem=DAMAGED_ARCHIVE)
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror or error})") from None


def _opened(file: IO[bytes], path: str) -> tarfile.TarFile:
    if file.read(6).startswith(COMPRESSED):
        raise UnseeError(f"{path}: a compressed tar cannot be read in place; unpack the compression first")
    file.seek(0)
    return tarfile.open(fileobj=file, mode="r:")


def _tar_member(path: str, relative: str, info: tarfile.TarInfo, names: set[str]) -> Input:
    parts = [part for part in PurePosixPath(info.name).with_suffix("").parts if part not in ("/", "..", ".")]
    output = f"{relative}/{'/'.join(parts)}"
    if output in names:
        return Input(path, f"{output}@{info.offset_data}", info.offset_data, info.size, problem=DUPLICATE_NAME)
    names.add(output)
    return Input(path, output, info.offset_data, info.size)


def parquet_inputs(path: str, relative: str) -> Iterator[Input] | None:
    """Return the images of a parquet file by their row, named by row number; None where it holds none."""
    try:
        with open_binary(path) as file:
            table = pq.ParquetFile(file)
            rows = table.metadata.num_rows if image_column(table) else None
    except (OSError, pa.ArrowException) as error:
        raise UnseeError(f"{path}: not a readable parquet file ({error})") from None
    if rows is None:
        return None
    return (Input(path, f"{relative}/{row:08d}", row=row) for row in range(rows))
