"""A classifier's gradient or class activation maps as a bundle."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnseeError
from ...files import write_json
from ...train.networks.identity import fingerprint
from ...train.networks.metadata import LABELS_FILE, labels_to_json
from ..bundles.attribution_contents import (
    CAM_INPUTS,
    CAM_OUTPUTS,
    GRADIENT_INPUTS,
    GRADIENT_OUTPUTS,
    AttributionContents,
    AttributionKind,
)
from ..parity.attribution_parity import AttributionProbe, make_attribution_probe
from ..runtime.attributor import Attributor
from .exporter import Exportable

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier


class ClassifierAttribution(Exportable[AttributionContents]):
    """A classifier's gradient, or its class activation maps. layer: name of the module that these are of.

    Raises `UnseeError` where a layer is missing, not wanted, or makes no map.
    """

    def __init__(self, classifier: "Classifier", kind: AttributionKind, layer: str = "") -> None:
        self.classifier, self.model_id = classifier, fingerprint(classifier)
        self.contents = attribution_contents(classifier, kind, layer)

    def write(self, directory: Path) -> None:
        """See `Exportable.write`."""
        from .attribution_graphs import export_cam, export_gradient
        from .onnx_writer import write_graph
        from .step import pixel_classifier

        contents = self.contents
        size, classes = contents.input.size, len(contents.labels)
        network = pixel_classifier(self.classifier)
        if contents.kind == "gradient":
            program, names = export_gradient(network, size, classes), (GRADIENT_INPUTS, GRADIENT_OUTPUTS)
        else:
            program = export_cam(network, size, contents.layer, contents.kind)
            names = CAM_INPUTS, CAM_OUTPUTS
        properties = {"model": self.model_id, "kind": contents.kind, "layer": contents.layer}
        write_graph(program, directory / contents.graph_file, *names, properties)
        write_json(directory / LABELS_FILE, labels_to_json(contents.labels))

    def probe(self, images: np.ndarray) -> AttributionProbe:
        """See `Exportable.probe`; PyTorch runs in double precision, too."""
        eager = partial(eager_attributor, self.classifier, self.contents)
        return make_attribution_probe(eager(), eager(precision="fp64"), images)


def attribution_contents(classifier: "Classifier", kind: AttributionKind, layer: str = "") -> AttributionContents:
    """Return what a bundle would hold; see `ClassifierAttribution`."""
    from .eager import cam_size

    if (kind == "gradient") == bool(layer):
        raise UnseeError("a gradient is by the pixels: leave --layer out" if layer else f"{kind} needs --layer NAME")
    metadata = classifier.metadata
    size = metadata.input.size
    return AttributionContents(
        network=metadata.network,
        input=metadata.input,
        labels=classifier.labels,
        names_classes=metadata.names_classes,
        kind=kind,
        layer=layer,
        map_size=cam_size(classifier, layer) if layer else (size, size),
    )


def eager_attributor(classifier: "Classifier", contents: AttributionContents, **options: Any) -> Attributor:
    """Return a classifier's attributor in PyTorch; options: device and precision, see `eager_descender`."""
    from .eager import eager_attribution

    return Attributor(eager_attribution(classifier, contents, **options), contents, fingerprint(classifier))
