"""The bundle: a directory with a graph, what it computes and a probe, which runs without PyTorch (design section 2)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from ...errors import UnseeError
from ...fields import mapping, text, whole
from ...train.networks.metadata import holds_file, read_object
from .attribution_contents import AttributionContents
from .bundle_files import BUNDLE_FILE, WHAT, read_description, write_description
from .descent_contents import DescentContents
from .graphs import Graph
from .map_contents import MapContents
from .onnx_files import external_files

Contents = DescentContents | MapContents | AttributionContents
Kind = TypeVar("Kind", bound=Contents, covariant=True)
BundlePrecision = Literal["fp32", "fp16", "int8"]

CONTENTS: tuple[type[Contents], ...] = (DescentContents, MapContents, AttributionContents)
"""What a bundle may hold; a further kind of network is a further class."""
DEFAULT_KIND = "descent"
"""The kind of descriptions that name none."""


@dataclass(frozen=True, kw_only=True)
class Bundle(Generic[Kind]):
    """A bundle that has been read and checked.

    contents: what its graph computes, and how. model_id: as of the checkpoint it was made from. precision: that of the
    network's layers. opset: version of ONNX's operators. versions: of the tools that made it. parity: the report of the
    export, see `Parity`.
    """

    directory: Path
    contents: Kind
    model_id: str
    precision: str = "fp32"
    opset: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """Inputs and outputs of the graph."""
        return self.contents.graph

    @property
    def graph_path(self) -> Path:
        """The ONNX file."""
        return self.directory / self.contents.graph_file


def is_bundle(model: str | Path) -> bool:
    """Say whether a path is a bundle's directory, of whatever kind."""
    return holds_file(model, BUNDLE_FILE)


def bundle_kind(model: str | Path) -> str | None:
    """Return the kind that a bundle's description names; None where the path is no bundle. Nothing is checked here."""
    return _kind(read_object(Path(model) / BUNDLE_FILE, WHAT)) if is_bundle(model) else None


def holds(model: str | Path, contents: type[Contents]) -> bool:
    """Say whether a path is a bundle whose description names such contents."""
    return bundle_kind(model) in contents.kinds


def write_bundle(bundle: Bundle[Contents]) -> None:
    """Write bundle.json, last of a bundle's files (see `write_description`)."""
    description = {
        **bundle.contents.to_json(),
        "model_id": bundle.model_id,
        "precision": bundle.precision,
        "opset": bundle.opset,
        "tensors": bundle.graph.to_json(),
        "versions": bundle.versions,
        "parity": bundle.parity,
    }
    external = sorted(external_files(bundle.graph_path))
    write_description(bundle.directory, description, (*bundle.contents.files, *external))


def read_bundle(directory: str | Path, *expected: type[Kind]) -> Bundle[Kind]:
    """Read and check a bundle, of whatever contents unless some are expected; raises as `read_description` does."""
    directory = Path(directory)
    known: dict[str, type[Any]] = {kind: contents for contents in expected or CONTENTS for kind in contents.kinds}

    def needed(value: dict[str, Any]) -> tuple[str, ...]:
        kind = _kind(value)
        if kind not in known:
            raise UnseeError(
                f"{directory / BUNDLE_FILE}: a bundle of kind {kind!r}, expected one of kind {' or '.join(known)}"
            )
        return known[kind].files

    with read_description(directory, needed) as value:
        contents = known[_kind(value)].from_json(value)
        precision = text(value["precision"], "precision")
        if precision not in get_args(BundlePrecision):
            raise UnseeError(f"precision must be one of {', '.join(get_args(BundlePrecision))}, got {precision!r}")
        contents.graph.check(mapping(value["tensors"], "tensors"))
        bundle = Bundle(
            directory=directory,
            contents=contents,
            model_id=text(value["model_id"], "model_id"),
            precision=precision,
            opset=whole(value["opset"], "opset"),
            versions=mapping(value["versions"], "versions"),
            parity=mapping(value["parity"], "parity"),
        )
    return replace(bundle, contents=contents.with_files(directory))


def _kind(description: dict[str, Any]) -> str:
    return str(description.get("kind", DEFAULT_KIND))
