"""The networks that become bundles: a classifier's descent step, and networks that make or promote maps."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnseeError
from ...files import digest_of, write_json
from ...train.networks.identity import fingerprint
from ...train.networks.metadata import LABELS_FILE, labels_to_json
from ..bundles.bundle import Bundle
from ..bundles.descent_config import DescentConfig, Precision
from ..bundles.descent_contents import DescentContents, descent_to_json
from ..bundles.drafts import checked_target
from ..bundles.map_contents import IMAGE, MAP, PRIOR, MapContents
from ..parity.descent_parity import LIMITS, Finish, Probe, make_probe, raw_map
from ..parity.map_parity import MapProbe, make_map_probe
from ..runtime.descender import Descender
from .exporter import Exportable, export, require_tools

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier
    from ...train.networks.maps.mappers import LoadedMapNetwork

TRACED_BATCH = 2


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
        self.contents = DescentContents(
            network=metadata.network,
            input=metadata.input,
            labels=classifier.labels,
            names_classes=metadata.names_classes,
            descent=config,
            preset=preset or {},
        )

    def write(self, directory: Path) -> None:
        """See `Exportable.write`."""
        from .onnx_writer import write_graph
        from .step import pixel_classifier
        from .tracing import INPUTS, OUTPUTS, export_step

        contents, scaled = self.contents, self.precision == "fp16"
        network = pixel_classifier(self.classifier, self.precision)  # pyright: ignore[reportArgumentType]
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


class MapNetwork(Exportable[MapContents]):
    """A network that makes or promotes maps.

    priors: float32 [B,S,S], what a promoter promotes in the probe's images, their red where None. calibration: uint8
    [B,S,S,3], photographs that a network is quantised by; None leaves it in float32.
    """

    def __init__(
        self, loaded: "LoadedMapNetwork", priors: np.ndarray | None = None, calibration: np.ndarray | None = None
    ) -> None:
        from ...train.networks.maps.mappers import fingerprint

        self.loaded, self.priors, self.calibration = loaded, priors, calibration
        self.precision = "fp32" if calibration is None else "int8"
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
        path = directory / self.contents.graph_file
        write_graph(program, path, names, [MAP], properties)
        if self.calibration is not None:
            from ..forms.quantization import quantize

            quantize(path, IMAGE, self.calibration)

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
    calibration: np.ndarray | None = None,
) -> Bundle[MapContents]:
    """Export a map network's checkpoint as a bundle; see `MapNetwork` and `export`.

    iterations: passes T of a promoter, its own where None; they are in the graph. calibration: see `MapNetwork`.
    """
    require_tools()
    from .eager import load_with_iterations

    checked_target(directory, model)
    network = MapNetwork(load_with_iterations(Path(model), iterations), priors, calibration)
    return export(network, directory, model, probes)
