"""The bundle of a network that makes or promotes maps: a directory that runs without PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..train.map_metadata import Kind, MapMetadata
from .bundle_files import (
    BATCH,
    PROBE_FILE,
    GraphBundle,
    Tensors,
    bundle_kind,
    from_description,
    read_description,
    tensor,
    write_description,
)

MAP_FILE = "map.onnx"
FILES = (MAP_FILE, PROBE_FILE)
IMAGE, PRIOR, MAP = "image", "prior", "map"
"""Names of the graph's inputs and its output."""


@dataclass(frozen=True, kw_only=True)
class MapBundle(GraphBundle):
    """A bundle of a promoter or an attentional network.

    metadata: what its model.json says; the options are in the graph. parity: see `map_parity`.
    """

    graph_file = MAP_FILE
    metadata: MapMetadata


def is_map_bundle(model: str | Path) -> bool:
    """Say whether a path is a bundle's directory whose description names a promoter or an attentional network."""
    return bundle_kind(model) in get_args(Kind)


def write_map_bundle(bundle: MapBundle) -> None:
    """Write bundle.json (see `write_description`)."""
    write_description(bundle.directory, {**bundle.metadata.to_json(), **bundle.described()}, FILES)


def read_map_bundle(directory: Path) -> MapBundle:
    """Read and check a bundle of a promoter or an attentional network; raises `UnseeError` as `read_description` does."""
    with read_description(directory, get_args(Kind), FILES) as value:
        metadata = MapMetadata.from_json(value)
        return MapBundle(directory=directory, **from_description(value, map_tensors(metadata)), metadata=metadata)


def map_tensors(metadata: MapMetadata) -> Tensors:
    """Return the inputs and outputs of the graph of a promoter or an attentional network."""
    size = metadata.input.size
    prior = [tensor(PRIOR, BATCH, 1, size, size)] if metadata.kind == "promoter" else []
    return {"inputs": [tensor(IMAGE, BATCH, 3, size, size), *prior], "outputs": [tensor(MAP, BATCH, 1, size, size)]}
