"""The bundle of a network that makes or promotes maps: a directory that runs without PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ..train.map_metadata import Kind, MapMetadata
from .bundle_files import PROBE_FILE, bundle_kind, read_description, write_description

MAP_FILE = "map.onnx"
FILES = (MAP_FILE, PROBE_FILE)


@dataclass(frozen=True)
class MapBundle:
    """A bundle that has been read and checked.

    model_id: as of the checkpoint it was made from. metadata: what its model.json says; the options are in the graph.
    precision: that of the layers. opset, tensors: version of ONNX's operators, and name, type and shape of every input
    and output. versions: of the tools that made it. parity: the report of the export (see `map_parity`).
    """

    directory: Path
    model_id: str
    metadata: MapMetadata
    precision: str = "fp32"
    opset: int = 0
    tensors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def graph_path(self) -> Path:
        """The ONNX file."""
        return self.directory / MAP_FILE


def is_map_bundle(model: str | Path) -> bool:
    """Say whether a path is a bundle's directory whose description names a promoter or an attentional network."""
    return bundle_kind(model) in get_args(Kind)


def write_map_bundle(bundle: MapBundle) -> None:
    """Write bundle.json (see `write_description`)."""
    description = {
        **bundle.metadata.to_json(),
        "model_id": bundle.model_id,
        "precision": bundle.precision,
        "opset": bundle.opset,
        "tensors": bundle.tensors,
        "versions": bundle.versions,
        "parity": bundle.parity,
    }
    write_description(bundle.directory, description, FILES)


def read_map_bundle(directory: Path) -> MapBundle:
    """Read and check a bundle of a promoter or an attentional network; raises `UnseeError` as `read_description` does."""
    with read_description(directory, get_args(Kind), FILES) as value:
        return MapBundle(
            directory=directory,
            model_id=str(value["model_id"]),
            metadata=MapMetadata.from_json(value),
            precision=str(value["precision"]),
            opset=int(value["opset"]),
            tensors=dict(value["tensors"]),
            versions=dict(value["versions"]),
            parity=dict(value["parity"]),
        )
