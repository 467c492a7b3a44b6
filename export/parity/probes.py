"""Arrays and numbers that are kept in a bundle as .npz, read with checks before anything is allocated."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np

from ...errors import UnseeError
from ...files import atomic_path

MOST_IMAGES = 256
SUFFIX = ".npy"
Shape = tuple[str | int, ...]


class StoredProbe:
    """Base of dataclasses of arrays and numbers.

    arrays: type and shape of every array, in whose letters B is the number of images; what is not in it is a number.
    """

    arrays: ClassVar[Mapping[str, tuple[str, Shape]]]

    def save(self, path: Path) -> None:
        """Write the probe, without what is None."""
        kinds = {name: kind for name, (kind, _) in self.arrays.items()}
        given = {name: value for name, value in vars(self).items() if value is not None}
        values: dict[str, Any] = {name: np.asarray(value, kinds.get(name, "float64")) for name, value in given.items()}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **values)

    @classmethod
    def load(cls, path: Path, sizes: Mapping[str, int] | None = None) -> Self:
        """Read a probe; nothing in the file can run code.

        sizes: what letters of the shapes must stand for. Raises `UnseeError` where the file is no such probe.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                members = {info.filename.removesuffix(SUFFIX): info for info in archive.infolist()}
                return cls(**cls._values(archive, members, {**(sizes or {})}))
        except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise UnseeError(f"{path}: not a probe ({str(error) or type(error).__name__})") from None

    @classmethod
    def _values(
        cls, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], sizes: dict[str, int]
    ) -> dict[str, Any]:
        known = {item.name: item for item in fields(cast(Any, cls))}
        unknown = [name for name in members if name not in known]
        missing = [name for name, item in known.items() if name not in members and item.default is MISSING]
        if unknown or missing:
            raise ValueError(f"it lacks {missing[0]}" if missing else f"it holds {unknown[0]!r}")
        return {name: cls._value(archive, members[name], name, sizes) for name in known if name in members}

    @classmethod
    def _value(cls, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, sizes: dict[str, int]) -> Any:
        kind, shape = cls.arrays.get(name, ("float64", ()))
        with archive.open(member) as file:
            _check_header(file, name, kind, shape, sizes)
        with archive.open(member) as file:
            value = np.lib.format.read_array(file, allow_pickle=False)
        if shape:
            return value
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} is {value}")
        return float(value)


def _check_header(file: Any, name: str, kind: str, shape: Shape, sizes: dict[str, int]) -> None:
    """Refuse an array of another type or shape; a letter without a size gets the one that comes first."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is of version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found, _, dtype = read(file)
    if dtype != np.dtype(kind) or len(found) != len(shape):
        raise ValueError(f"{name} is {dtype} {list(found)}, expected {kind} {list(shape)}")
    for side, length in zip(shape, found, strict=True):
        wanted = sizes.setdefault(side, length) if isinstance(side, str) else side
        if length != wanted or not length or (side == "B" and length > MOST_IMAGES):
            raise ValueError(f"{name} is of shape {list(found)}, expected {list(shape)} with {sizes}")
