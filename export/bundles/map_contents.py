"""What a bundle of a network that makes or promotes maps holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

from ...train.networks.maps.mapper_metadata import Kind, MapMetadata
from .bundle_files import PROBE_FILE
from .graphs import BATCH, Graph, TensorSpec

MAP_FILE = "map.onnx"
IMAGE, PRIOR, MAP = "image", "prior", "map"
"""Names of the graph's inputs and its output."""


@dataclass(frozen=True)
class MapContents:
    """A map network. metadata: what its model.json says; the options are in the graph."""

    metadata: MapMetadata
    kinds: ClassVar[tuple[str, ...]] = get_args(Kind)
    graph_file: ClassVar[str] = MAP_FILE
    files: ClassVar[tuple[str, ...]] = (MAP_FILE, PROBE_FILE)

    @property
    def graph(self) -> Graph:
        """Inputs and outputs: pixels, and for a promoter the map to promote, to a map."""
        size, batch = self.metadata.input.size, 1 if self.metadata.alone else BATCH
        image, prior, made = (
            TensorSpec(name, (batch, channels, size, size)) for name, channels in ((IMAGE, 3), (PRIOR, 1), (MAP, 1))
        )
        return Graph((image, prior) if self.metadata.kind == "promoter" else (image,), (made,))

    @property
    def title(self) -> str:
        """What a person calls it."""
        metadata = self.metadata
        return metadata.backbone if metadata.kind == "network" else f"{metadata.kind}, preset {metadata.preset}"

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return self.metadata.to_json()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "MapContents":
        """Return what a description holds."""
        return cls(MapMetadata.from_json(value))

    def with_files(self, _directory: Path) -> "MapContents":
        """Return the same: nothing stands in files of its own."""
        return self
