"""The files of a bundle of any kind: its description and their hashes, written, and read with checks."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UnseeError
from ...fields import mapping
from ...files import sha256_of, write_json
from ...train.networks.metadata import BUNDLE_FILE, read_object, understood
from .onnx_files import external_files

SCHEMA = 1
PROBE_FILE = "probe.npz"
WHAT = "a bundle description"


def write_description(directory: Path, description: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Write bundle.json, last of a bundle's files: it holds the sizes and hashes of the others, `names`."""
    files = {name: _fingerprint(directory / name) for name in names}
    write_json(directory / BUNDLE_FILE, {"schema": SCHEMA, **description, "files": files})


@contextmanager
def read_description(directory: Path, needed: Callable[[dict[str, Any]], Collection[str]]) -> Iterator[dict[str, Any]]:
    """Yield a bundle's description, checked: version, every file's size and SHA-256, no file outside the directory.

    needed: returns the files that a description must list, besides those that an ONNX file refers to. Raises `UnseeError`
    saying what is wrong with a missing, damaged, truncated, changed or foreign bundle; what the block makes nothing of is
    such an error too.
    """
    path = directory / BUNDLE_FILE
    value = read_object(path, WHAT)
    if value.get("schema") != SCHEMA:
        raise UnseeError(
            f"{path}: bundle version {value.get('schema')!r}, this unsee reads version {SCHEMA}: export it again"
        )
    _check_files(directory, value.get("files"), needed(value))
    with understood(path, WHAT):
        yield value


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _check_files(directory: Path, listed: object, names: Collection[str]) -> None:
    path = directory / BUNDLE_FILE
    with understood(path, WHAT):
        files = {name: mapping(item, f"files: {name}") for name, item in mapping(listed, "files").items()}
    for name in names:
        if name not in files:
            raise UnseeError(f"{path}: does not list {name}")
    for name, expected in files.items():
        _check_file(_inside(directory, name), expected)
    for name in files:
        if name.endswith(".onnx"):
            _check_external(directory / name, files.keys())


def _check_file(path: Path, expected: dict[str, Any]) -> None:
    try:
        _check_bytes(path, expected)
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None


def _check_bytes(path: Path, expected: dict[str, Any]) -> None:
    if not path.is_file():
        raise UnseeError(f"{path}: missing from the bundle")
    size = path.stat().st_size
    if size != expected.get("bytes"):
        raise UnseeError(f"{path}: truncated or changed: {size} bytes instead of {expected.get('bytes')!r}")
    if sha256_of(path) != expected.get("sha256"):
        raise UnseeError(f"{path}: damaged or changed: its SHA-256 is not the one in {BUNDLE_FILE}")


def _check_external(path: Path, listed: Collection[str]) -> None:
    """Refuse weights in files that are not checked, wherever they are."""
    for name in sorted(external_files(path)):
        if name not in listed:
            raise UnseeError(f"{path}: keeps weights in {name!r}, which {BUNDLE_FILE} does not list: export it again")


def _inside(directory: Path, name: str) -> Path:
    """Return the path of a bundle's file; one that leads out of the directory, by links too, is an error."""
    path = directory / name
    if "\0" in name or Path(name).is_absolute() or not path.resolve().is_relative_to(directory.resolve()):
        raise UnseeError(f"{directory / BUNDLE_FILE}: lists {name!r}, which is outside the bundle")
    return path
