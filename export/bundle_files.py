"""The files of a bundle of any kind: its description, hashes and probe, read with checks and written as a whole."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import UnseeError
from ..files import sha256_of, write_json

SCHEMA = 1
BUNDLE_FILE = "bundle.json"
PROBE_FILE = "probe.npz"
DESCENT = "descent"
"""The kind of a bundle that holds a classifier's descent step; descriptions without a kind are of this one."""


@dataclass(frozen=True, kw_only=True)
class GraphBundle:
    """What a bundle that has been read and checked holds, whatever its graph computes.

    model_id: as of the checkpoint it was made from. precision: that of the network's layers. opset, tensors: version of
    ONNX's operators, and name, type and shape of every input and output. versions: of the tools that made it. parity: the
    report of the export.
    """

    graph_file: ClassVar[str]
    directory: Path
    model_id: str
    precision: str = "fp32"
    opset: int = 0
    tensors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def graph_path(self) -> Path:
        """The ONNX file."""
        return self.directory / self.graph_file

    def described(self) -> dict[str, Any]:
        """Return, as JSON, what the descriptions of all bundles have in common."""
        return {
            name: getattr(self, name) for name in ("model_id", "precision", "opset", "tensors", "versions", "parity")
        }


def from_description(value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that `GraphBundle.described` wrote."""
    return {
        "model_id": str(value["model_id"]),
        "precision": str(value["precision"]),
        "opset": int(value["opset"]),
        "tensors": dict(value["tensors"]),
        "versions": dict(value["versions"]),
        "parity": dict(value["parity"]),
    }


def is_bundle(model: str | Path) -> bool:
    """Say whether a path is a bundle's directory, of whatever kind."""
    return (Path(model) / BUNDLE_FILE).is_file()


def bundle_kind(model: str | Path) -> str | None:
    """Return the kind that a bundle's description names; None where the path is no bundle. Nothing is checked here."""
    return _kind(_read_object(Path(model) / BUNDLE_FILE)) if is_bundle(model) else None


def write_description(directory: Path, description: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Write bundle.json, last of a bundle's files: it holds the sizes and hashes of the others, `names`."""
    files = {name: _fingerprint(directory / name) for name in names}
    write_json(directory / BUNDLE_FILE, {"schema": SCHEMA, **description, "files": files})


@contextmanager
def read_description(directory: Path, kinds: tuple[str, ...], names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a bundle's description, checked: version, kind, every file's size and SHA-256, no file outside the directory.

    names: files that must be listed. Raises `UnseeError` saying what is wrong with a missing, damaged, truncated, changed
    or foreign bundle; what the block cannot find in the description is such an error too.
    """
    path = directory / BUNDLE_FILE
    value = _read_object(path)
    if value.get("schema") != SCHEMA:
        raise UnseeError(
            f"{path}: bundle version {value.get('schema')!r}, this unsee reads version {SCHEMA}: export it again"
        )
    if _kind(value) not in kinds:
        raise UnseeError(f"{path}: a bundle of kind {_kind(value)!r}, expected one of kind {' or '.join(kinds)}")
    try:
        _check_files(directory, value["files"], names)
        yield value
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnseeError(f"{path}: not a bundle description ({type(error).__name__}: {error})") from None


@contextmanager
def drafted(directory: Path) -> Iterator[Path]:
    """Yield a new directory that takes the place of `directory`, an older bundle or nothing, when the block ends.

    Where the block fails nothing changes. Raises `UnseeError` where `directory` holds something else than a bundle.
    """
    if directory.exists() and not is_bundle(directory) and any(directory.iterdir()):
        raise UnseeError(f"{directory} exists and is not a bundle: name another directory")
    draft = directory.with_name(f".{directory.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if directory.exists():
            shutil.rmtree(directory)
        draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class StoredProbe:
    """Base of dataclasses of arrays and numbers that are kept in a bundle as .npz."""

    def save(self, path: Path) -> None:
        """Write the probe, without what is None."""
        values = {name: np.asarray(value) for name, value in vars(self).items() if value is not None}
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **values)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a probe, numbers as floats; nothing in the file can run code. Raises `UnseeError` where it is none."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    **{name: arrays[name] if arrays[name].ndim else float(arrays[name]) for name in arrays.files}
                )
        except (OSError, ValueError, TypeError) as error:
            raise UnseeError(f"{path}: not a probe ({error})") from None


def _kind(value: dict[str, Any]) -> str:
    return str(value.get("kind", DESCENT))


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UnseeError(f"{path}: damaged, not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UnseeError(f"{path}: not a bundle description, but a JSON {type(value).__name__}")
    return value


def _check_files(directory: Path, files: dict[str, dict[str, Any]], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in files:
            raise UnseeError(f"{directory / BUNDLE_FILE}: does not list {name}")
    for name, expected in files.items():
        path = _inside(directory, name)
        if not path.is_file():
            raise UnseeError(f"{path}: missing from the bundle")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise UnseeError(f"{path}: truncated or changed: {size} bytes instead of {expected['bytes']}")
        if sha256_of(path) != expected["sha256"]:
            raise UnseeError(f"{path}: damaged or changed: its SHA-256 is not the one in {BUNDLE_FILE}")


def _inside(directory: Path, name: str) -> Path:
    """Return the path of a bundle's file; one that leads out of the directory, by links too, is an error."""
    path = directory / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(directory.resolve()):
        raise UnseeError(f"{directory / BUNDLE_FILE}: lists {name!r}, which is outside the bundle")
    return path
