"""Making a bundle of a promoter or an attentional network."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bundles.bundle import Bundle
from ..bundles.drafts import checked_target
from ..bundles.map_contents import MAP, PRIOR, MapContents
from ..parity.map_parity import MapProbe, make_map_probe
from .exporter import Exportable, export, require_tools

if TYPE_CHECKING:
    from ...train.networks.mappers import LoadedMapNetwork

TRACED_BATCH = 2


class MapNetwork(Exportable[MapContents]):
    """A network that makes or promotes maps.

    priors: float32 [B,S,S], what a promoter promotes in the probe's images, their red where None.
    """

    def __init__(self, loaded: "LoadedMapNetwork", priors: np.ndarray | None = None) -> None:
        from ...train.networks.mappers import fingerprint

        self.loaded, self.priors = loaded, priors
        self.contents, self.model_id = MapContents(loaded.metadata), fingerprint(loaded)

    def write(self, directory: Path) -> None:
        """See `Exportable.write`."""
        import torch

        from .onnx_writer import write_graph

        specs = self.contents.graph.inputs
        inputs = tuple(torch.rand(TRACED_BATCH, *(int(side) for side in spec.shape[1:])) for spec in specs)
        batch = torch.export.Dim("batch", min=1)
        with torch.no_grad():
            program = torch.export.export(self.loaded.mapper, inputs, dynamic_shapes=[{0: batch} for _ in inputs])
        properties = {"model": self.model_id, "kind": self.contents.metadata.kind}
        names = [spec.name for spec in specs]
        write_graph(program, directory / self.contents.graph_file, names, [MAP], properties)

    def probe(self, images: np.ndarray) -> MapProbe:
        """See `Exportable.probe`; PyTorch runs in double precision, too."""
        import torch

        from .eager import eager_mapper

        promotes = any(spec.name == PRIOR for spec in self.contents.graph.inputs)
        priors = images[..., 0].astype(np.float32) / 255 if promotes and self.priors is None else self.priors
        eager, exact = eager_mapper(self.loaded), eager_mapper(self.loaded, dtype=torch.float64)
        return make_map_probe(eager, exact, images, priors)


def export_map_network(
    model: str,
    directory: Path,
    iterations: int | None = None,
    probes: np.ndarray | None = None,
    priors: np.ndarray | None = None,
) -> Bundle[MapContents]:
    """Export a promoter's or an attentional network's checkpoint as a bundle; see `MapNetwork` and `export`.

    iterations: passes T of a promoter, its own where None; they are in the graph.
    """
    require_tools()
    from .eager import load_with_iterations

    checked_target(directory, model)
    return export(MapNetwork(load_with_iterations(Path(model), iterations), priors), directory, model, probes)
