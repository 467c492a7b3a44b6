"""The bundle of a shipped classifier: `python -m unsee.export.library.embedded` makes it anew after a change of weights."""

import shutil
import tempfile
from pathlib import Path

import onnx

from ...files import write_bytes
from ...train.networks.metadata import WEIGHTS_FILE
from ...train.networks.model_names import DEFAULT_NAME, Stored, pretrained_directory
from ..bundles.bundle import Bundle
from ..bundles.bundle_files import BUNDLE_FILE, PROBE_FILE
from ..bundles.descent_config import DescentConfig
from ..bundles.descent_contents import STEP_FILE, DescentContents
from ..graph.exportables import ClassifierStep
from ..graph.exporter import export
from ..parity.synthetic import synthetic_images
from .shared_weights import share_weights

PROBES = 2
FILES = (STEP_FILE, PROBE_FILE, BUNDLE_FILE)
CONFIG = DescentConfig(cost="log-prob", iterations=1)
"""The descent of preset `best` and of paper A's: what is in the graph is alike."""


class SharedStep(ClassifierStep):
    """A classifier's descent step that keeps its weights in the checkpoint's own file."""

    def __init__(self, found: Stored, config: DescentConfig) -> None:
        super().__init__(found.load(), config)
        self.weights = found.path / WEIGHTS_FILE

    def write(self, directory: Path) -> None:
        """See `Exportable.write`."""
        super().write(directory)
        shutil.copyfile(self.weights, directory / WEIGHTS_FILE)
        path = directory / self.contents.graph_file
        model = onnx.load(path)
        share_weights(model, directory / WEIGHTS_FILE)
        write_bytes(path, model.SerializeToString(deterministic=True))


def embed(checkpoint: Path) -> Bundle[DescentContents]:
    """Make a checkpoint's directory a bundle, too, verified on a few images, for every wheel holds them."""
    found = Stored(checkpoint)
    step = SharedStep(found, CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export(step, Path(folder) / "bundle", images=synthetic_images(step.contents.input.size, PROBES))
        for name in FILES:
            write_bytes(checkpoint / name, (bundle.directory / name).read_bytes())
    return bundle


if __name__ == "__main__":
    shipped = pretrained_directory(DEFAULT_NAME)
    assert shipped is not None
    print(embed(shipped).parity)
