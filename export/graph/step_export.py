"""Making a bundle of a classifier's descent step."""

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnseeError
from ...files import digest_of, write_json
from ...train.networks.metadata import LABELS_FILE, labels_to_json
from ...train.networks.model_names import fingerprint, load_classifier
from ..bundles.bundle import Bundle
from ..bundles.descent_config import DescentConfig, Precision
from ..bundles.descent_contents import DescentContents, descent_to_json
from ..bundles.drafts import checked_target
from ..parity.descent_parity import LIMITS, Finish, Probe, make_probe, raw_map
from ..runtime.descender import Descender
from .exporter import Exportable, export, require_tools

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier


class ClassifierStep(Exportable[DescentContents]):
    """A classifier's descent step. preset: kept in the bundle as the default of a run."""

    def __init__(
        self,
        classifier: "Classifier",
        config: DescentConfig,
        preset: dict[str, Any] | None = None,
        precision: Precision = "fp32",
        finish: Finish = raw_map,
    ) -> None:
        if precision not in LIMITS:
            raise UnseeError(f"a bundle's precision must be one of {', '.join(LIMITS)}, got {precision!r}")
        self.classifier, self.precision, self.finish = classifier, precision, finish
        self.model_id = fingerprint(classifier)
        metadata = classifier.metadata
        self.contents = DescentContents(metadata.network, metadata.input, classifier.labels, config, preset or {})

    def write(self, directory: Path) -> None:
        """See `Exportable.write`."""
        from .folding import fold_batch_norms
        from .onnx_writer import write_graph
        from .step import PixelClassifier
        from .tracing import INPUTS, OUTPUTS, export_step

        contents, scaled = self.contents, self.precision == "fp16"
        module = copy.deepcopy(fold_batch_norms(self.classifier.module))  # not to be converted in place
        network = PixelClassifier(module, contents.input, self.precision).eval().requires_grad_(False)  # pyright: ignore
        step = export_step(network, contents.descent, contents.input.size, len(contents.labels), scaled=scaled)
        named = {"preset": str(contents.preset["name"])} if "name" in contents.preset else {}
        properties = {"model": self.model_id, "descent": digest_of(descent_to_json(contents.descent)), **named}
        write_graph(step, directory / contents.graph_file, INPUTS, OUTPUTS, properties)
        write_json(directory / LABELS_FILE, labels_to_json(contents.labels))

    def probe(self, images: np.ndarray) -> Probe:
        """See `Exportable.probe`; PyTorch runs in two memory formats and in double precision."""
        layouts = [{"channels_last": True}, {"channels_last": False}, {"precision": "fp64"}]
        eager, other, exact = (partial(self._eager, layout) for layout in layouts)
        return make_probe(images, self.contents.descent, eager, other, exact, self.finish)

    def _eager(self, layout: dict[str, Any], config: DescentConfig) -> Descender:
        from .eager import eager_descender

        return eager_descender(self.classifier, config, **layout)


def export_classifier(
    model: str,
    directory: Path,
    config: DescentConfig,
    preset: dict[str, Any] | None = None,
    weights: str | None = None,
    precision: Precision = "fp32",
    probes: np.ndarray | None = None,
    finish: Finish = raw_map,
) -> Bundle[DescentContents]:
    """Export a classifier (see `load_classifier`) as a bundle; see `ClassifierStep` and `export`."""
    require_tools()
    checked_target(directory, model)
    step = ClassifierStep(load_classifier(model, weights), config, preset, precision, finish)
    return export(step, directory, model, probes)
