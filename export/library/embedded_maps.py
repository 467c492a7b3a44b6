"""Map networks that every wheel holds: `python -m unsee.export.library.embedded_maps CHECKPOINT NAME` makes one.

Their graphs read the weights from files beside them: the checkpoint's own, in half precision, and of a frozen backbone the
file of the classifier's package.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from ...files import write_bytes
from ...train.networks.maps.mapper_names import shipped_folder
from ...train.networks.maps.mappers import LoadedMapNetwork, load_map_network, save_map_network
from ...train.networks.metadata import WEIGHTS_FILE
from ...train.networks.model_names import PACKAGES
from ..bundles.bundle import Bundle
from ..bundles.map_contents import MapContents
from ..graph.exportables import MapNetwork
from ..graph.exporter import export
from ..parity.map_parity import MapProbe
from ..parity.synthetic import synthetic_images
from .borrowed_weights import Lender, borrow_weights
from .shipped_maps import SHIPPED_FILES

PROBES = 1
PROBE_LEVELS = 4096
"""Of the maps in the probe: far finer than what they are compared by."""


class BorrowingNetwork(MapNetwork):
    """A student whose graph holds no convolution's weights."""

    def __init__(self, loaded: LoadedMapNetwork, weights: Path) -> None:
        super().__init__(loaded)
        self.weights = weights

    def probe(self, images: np.ndarray) -> MapProbe:
        """See `Exportable.probe`; its maps have few enough bits to be small when compressed."""
        probe = super().probe(images)
        return replace(probe, maps=np.rint(probe.maps * PROBE_LEVELS) / np.float32(PROBE_LEVELS))

    def write(self, directory: Path) -> None:
        """See `Exportable.write`."""
        super().write(directory)
        own = Lender(_copied(self.weights, directory), np.float16)
        frozen = self.loaded.metadata.frozen
        other = Lender(_copied(PACKAGES[frozen].find().path, directory), np.float32) if frozen else own
        path = directory / self.contents.graph_file
        model = onnx.load(path)
        borrow_weights(model, self.loaded.mapper.network, "network.", {"head": own, "backbone": other})
        write_bytes(path, model.SerializeToString(deterministic=True))


def embed(checkpoint: Path, target: Path, frozen: str = "") -> Bundle[MapContents]:
    """Write what the wheel holds of a student into `target`. frozen: the classifier's package that its backbone is from."""
    trained = load_map_network(checkpoint)
    save_map_network(target, trained.mapper, replace(trained.metadata, frozen=frozen), torch.float16)
    network = BorrowingNetwork(load_map_network(target), target / WEIGHTS_FILE)
    images = synthetic_images(trained.metadata.input.size, PROBES)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export(network, Path(folder) / "bundle", images=images)
        for name in SHIPPED_FILES[1:]:
            write_bytes(target / name, (bundle.directory / name).read_bytes())
    return bundle


def _copied(source: Path, directory: Path) -> Path:
    return Path(shutil.copyfile(source, directory / source.name))


if __name__ == "__main__":
    _, source, name, *packages = sys.argv
    print(embed(Path(source), shipped_folder(name), *packages).parity)
