"""The files of a bundle of any kind: its description and their hashes, written, and read with checks."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from ..errors import UnseeError
from ..files import sha256_of, write_json
from ..train.fields import mapping, text, whole
from ..train.metadata import holds_file, read_object, understood
from .onnx_files import external_files

SCHEMA = 1
BUNDLE_FILE = "bundle.json"
PROBE_FILE = "probe.npz"
DESCENT = "descent"
"""The kind of a bundle that holds a classifier's descent step; descriptions without a kind are of this one."""
WHAT = "a bundle description"
BATCH = "batch"
"""What stands for the size of a batch in the shape of a tensor."""

Tensors = dict[str, list[dict[str, Any]]]
BundlePrecision = Literal["fp32", "fp16"]


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
    tensors: Tensors = field(default_factory=dict)
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


def from_description(value: dict[str, Any], expected: Tensors) -> dict[str, Any]:
    """Return the fields that `GraphBundle.described` wrote.

    expected: the inputs and outputs that follow from the rest of the description; others are a `UnseeError`.
    """
    precision = text(value["precision"], "precision")
    if precision not in get_args(BundlePrecision):
        raise UnseeError(f"precision must be one of {', '.join(get_args(BundlePrecision))}, got {precision!r}")
    tensors = mapping(value["tensors"], "tensors")
    check_tensors(tensors, expected)
    return {
        "model_id": text(value["model_id"], "model_id"),
        "precision": precision,
        "opset": whole(value["opset"], "opset"),
        "tensors": tensors,
        "versions": mapping(value["versions"], "versions"),
        "parity": mapping(value["parity"], "parity"),
    }


def check_tensors(found: Mapping[str, Any], expected: Tensors) -> None:
    """Raise `UnseeError` naming the first input or output of a graph that is not as expected, whatever their order."""
    for side, tensors in expected.items():
        by_name = {one["name"]: one for one in found[side]}
        for tensor in tensors:
            if by_name.get(tensor["name"]) != tensor:
                there = by_name.get(tensor["name"])
                raise UnseeError(f"the graph has {_described(there)} where {_described(tensor)} belongs")
        if len(found[side]) != len(tensors):
            raise UnseeError(f"the graph has {len(found[side])} {side}, expected {len(tensors)}")


def tensor(name: str, *shape: int | str, kind: str = "float32") -> dict[str, Any]:
    """Return the description of an input or output."""
    return {"name": name, "type": kind, "shape": list(shape)}


def _described(tensor: dict[str, Any] | None) -> str:
    return f"{tensor['name']} {tensor['type']} {tensor['shape']}" if tensor else "nothing"


def is_bundle(model: str | Path) -> bool:
    """Say whether a path is a bundle's directory, of whatever kind."""
    return holds_file(model, BUNDLE_FILE)


def bundle_kind(model: str | Path) -> str | None:
    """Return the kind that a bundle's description names; None where the path is no bundle. Nothing is checked here."""
    return _kind(read_object(Path(model) / BUNDLE_FILE, WHAT)) if is_bundle(model) else None


def write_description(directory: Path, description: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Write bundle.json, last of a bundle's files: it holds the sizes and hashes of the others, `names`."""
    files = {name: _fingerprint(directory / name) for name in names}
    write_json(directory / BUNDLE_FILE, {"schema": SCHEMA, **description, "files": files})


@contextmanager
def read_description(directory: Path, kinds: tuple[str, ...], names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a bundle's description, checked: version, kind, every file's size and SHA-256, no file outside the directory.

    names: files that must be listed, and every file that an ONNX file refers to. Raises `UnseeError` saying what is wrong
    with a missing, damaged, truncated, changed or foreign bundle; what the block makes nothing of is such an error too.
    """
    path = directory / BUNDLE_FILE
    value = read_object(path, WHAT)
    if value.get("schema") != SCHEMA:
        raise UnseeError(
            f"{path}: bundle version {value.get('schema')!r}, this unsee reads version {SCHEMA}: export it again"
        )
    if _kind(value) not in kinds:
        raise UnseeError(f"{path}: a bundle of kind {_kind(value)!r}, expected one of kind {' or '.join(kinds)}")
    _check_files(directory, value.get("files"), names)
    with understood(path, WHAT):
        yield value


def _kind(value: dict[str, Any]) -> str:
    return str(value.get("kind", DESCENT))


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _check_files(directory: Path, listed: object, names: tuple[str, ...]) -> None:
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
