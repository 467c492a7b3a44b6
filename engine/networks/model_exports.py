"""Bundles with a whole preset: exported, checked and run with the same constants from the descent to the finished map."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ...errors import UnseeError
from ...export.bundles.attribution_contents import AttributionContents, CamKind
from ...export.bundles.bundle import Bundle, holds, is_bundle, read_bundle
from ...export.bundles.bundle_files import BUNDLE_FILE
from ...export.bundles.descent_config import Precision
from ...export.bundles.descent_contents import DescentContents
from ...export.bundles.drafts import checked_target
from ...export.bundles.map_contents import MapContents
from ...export.graph.attribution_export import ClassifierAttribution
from ...export.graph.exportables import ClassifierStep, export_map_network
from ...export.graph.exporter import export, require_tools
from ...export.parity.checking import check_bundle
from ...export.parity.descent_parity import Finish, raw_map
from ...export.parity.report import Parity
from ...export.parity.synthetic import synthetic_images
from ...fields import mapping, text
from ...resizing import STRETCHED, Resizing
from ...train.networks.maps.mapper_metadata import read_map_metadata, with_iterations
from ...train.networks.metadata import MODEL_FILE, InputSpec, holds_file, understood
from ...train.networks.model_names import model_name
from ..cleanup.postprocess import finish
from ..cleanup.presets import PostConfig, Preset, default_preset
from ..cleanup.presets import preset as preset_of_name
from ..decoding.decoded_image import DecodingConfig
from ..decoding.decoding import decode
from ..inputs.input import read
from ..inputs.sources import Sources
from ..methods.region_contrast import region_contrast
from .given_networks import Labels, as_classifier, is_module

if TYPE_CHECKING:
    from torch import nn

    from ...train.networks.checkpoints import Classifier

PROBES = 20
CALIBRATION = 100
"""Photographs beyond the probe's that a network is quantised by."""
MapPrecision = Literal["fp32", "int8"]
What = Literal["descent", "gradient", "cam"]
"""What a classifier's bundle computes."""


def export_module(
    model: "str | Path | nn.Module",
    bundle: str | Path,
    input: InputSpec | None = None,
    labels: Labels | None = None,
    preset: str | Preset | None = None,
    probes: str | Path | np.ndarray | None = None,
    *,
    weights: str | Path | None = None,
    precision: Precision = "fp32",
    what: What = "descent",
    layer: str = "",
    cam: CamKind = "grad-cam",
) -> Bundle[DescentContents] | Bundle[AttributionContents]:
    """Write a bundle of a classifier that runs without PyTorch: its descent step, its gradient, or activation maps.

    model: a `torch.nn.Module` in any mode that makes logits [B,N] of images [B,3,S,S], or holds them under `logits`; or
    what `load_classifier` takes. bundle: directory to be made. input: how pixels become the module's input; torchvision's
    usual one where None. labels: see `Labels`; the number of classes is counted in one pass. preset: of a descent. probes:
    photographs, or uint8 [B,S,S,3], to verify on; synthetic images where None. what: `descent` is what `unsee run` and a
    `Detector` take; `gradient` is (image, cotangent) -> (logits, gradient); `cam` is (image, target) -> (logits, cam) of
    the module `layer`, by `cam`.
    Raises `UnseeError` naming the operator, its module and source line where something has no form in ONNX, and where
    `bundle` holds something else; `VerificationError` where the graph does not agree with PyTorch.
    """
    directory, named = Path(bundle), None if is_module(model) else model_name(model)
    chosen = default_preset() if preset is None else preset_of_name(preset) if isinstance(preset, str) else preset
    asked = ClassifierExport(directory, chosen, precision, what, layer, cam, named)
    return asked.run(lambda: as_classifier(model, input, labels, weights), probes)


@dataclass(frozen=True)
class ClassifierExport:
    """What a classifier is exported as, and where to; see `export_module`. named: the model, where it has a name."""

    directory: Path
    preset: Preset
    precision: Precision = "fp32"
    what: What = "descent"
    layer: str = ""
    cam: CamKind = "grad-cam"
    named: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("what", self.what, What), ("cam", self.cam, CamKind)):
            if value not in get_args(known):
                raise UnseeError(f"{name} must be one of {', '.join(get_args(known))}, got {value!r}")
        if self.layer and self.what != "cam":
            raise UnseeError(f"a layer belongs to a cam, not to a {self.what}")
        if self.what == "cam" and not self.layer:
            raise UnseeError("a cam is of a layer: name one (--layer)")
        if self.what != "descent" and self.precision != "fp32":
            raise UnseeError(f"a {self.what} is exported in fp32")

    def run(
        self, load: "Callable[[], Classifier]", probes: str | Path | np.ndarray | None
    ) -> Bundle[DescentContents] | Bundle[AttributionContents]:
        """Load a classifier and write its bundle; the target is checked before packages are imported that take seconds."""
        checked_target(self.directory, self.named)
        require_tools()
        classifier = load()
        size = classifier.metadata.input.size
        images = probe_images(str(probes), size) if isinstance(probes, (str, Path)) else probes
        if self.what == "descent":
            stored = {"name": self.preset.name, "post": asdict(self.preset.post)}
            finish = finisher(self.preset.post)
            step = ClassifierStep(classifier, self.preset.descent, stored, self.precision, finish)
            return export(step, self.directory, self.named, images)
        kind = "gradient" if self.what == "gradient" else self.cam
        return export(ClassifierAttribution(classifier, kind, self.layer), self.directory, self.named, images)


def export_map_model(
    model: str,
    directory: Path,
    iterations: int | None = None,
    photographs: str | None = None,
    precision: MapPrecision = "fp32",
) -> Bundle[MapContents]:
    """Export a map network (see `export_map_network`).

    photographs: what it is verified on, and calibrated on in int8: on those behind the first ones, where there are more. A
    promoter is verified on the Region Contrast maps of its probe images, and stays in fp32.
    """
    checked_target(directory, model)
    require_tools()
    metadata = with_iterations(read_map_metadata(Path(model)), iterations)
    size = metadata.input.size
    if precision == "int8":
        return _quantized(model, directory, size, photographs)
    probes = probe_images(photographs, size) if photographs else synthetic_images(size)
    priors = region_contrast(probes) if metadata.kind == "promoter" else None
    return export_map_network(model, directory, iterations, probes, priors)


def _quantized(model: str, directory: Path, size: int, photographs: str | None) -> Bundle[MapContents]:
    if read_map_metadata(Path(model)).kind == "promoter":
        raise UnseeError(f"{model}: a promoter is exported in fp32")
    if not photographs:
        raise UnseeError("int8 is calibrated on photographs: name some (--probes)")
    images = probe_images(photographs, size, PROBES + CALIBRATION)
    calibration = images[PROBES:] if len(images) > PROBES else images
    return export_map_network(model, directory, None, images[:PROBES], calibration=calibration)


def check_model(directory: Path, device: str = "cpu", backend: str = "auto") -> Parity:
    """Run a bundle on its probe and compare with what eager PyTorch made: of a classifier, the maps of its preset.

    See `check_bundle`.
    """
    if holds_file(directory, MODEL_FILE) and not is_bundle(directory):
        raise UnseeError(f"{directory} is a checkpoint, and no bundle: write one with unsee export, which checks it")
    if holds(directory, DescentContents):
        return check_bundle(directory, device, backend, _finish_of(read_bundle(directory, DescentContents)))
    return check_bundle(directory, device, backend)


def compile_bundle(classifier: "Classifier", directory: Path, device: str = "auto") -> None:
    """Compile the step of a classifier's bundle ahead of time, for PyTorch on this machine; see `prepare_package`."""
    from ...export.graph.aot import prepare_package

    bundle = read_bundle(directory, DescentContents)
    prepare_package(classifier, bundle, device, _finish_of(bundle))


def bundle_preset(model: str) -> Preset | None:
    """Return the preset of the bundle of a classifier; None where the model is something else."""
    return preset_of(read_bundle(model, DescentContents)) if holds(model, DescentContents) else None


def preset_of(bundle: Bundle[DescentContents]) -> Preset:
    """Return the preset that a bundle was exported with; one without has the constants of its graph and `reference`'s."""
    if not bundle.contents.preset:
        return replace(preset_of_name("reference"), descent=bundle.contents.descent)
    with understood(bundle.directory / BUNDLE_FILE, "a preset that this unsee knows"):
        name = text(bundle.contents.preset["name"], "name of the preset")
        return Preset(name, bundle.contents.descent, PostConfig(**mapping(bundle.contents.preset["post"], "post")))


def _finish_of(bundle: Bundle[DescentContents]) -> Finish:
    """Return what made the maps in a bundle's probe."""
    return finisher(preset_of(bundle).post) if bundle.contents.preset else raw_map


def finisher(config: PostConfig) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what turns differences [B,3,S,S] and images [B,S,S,3] into finished maps [B,S,S]."""
    return lambda delta, images: finish(delta, images, config).final


def probe_images(source: str, size: int, count: int = PROBES, resizing: Resizing = STRETCHED) -> np.ndarray:
    """Return the first photographs of a source on the network's grid, uint8 [B,S,S,3]."""
    members = islice(Sources((source,)).stream(), count)
    images = [decode(read(member), DecodingConfig(size, resizing=resizing)).pixels for member in members]
    if not images:
        raise UnseeError(f"{source}: no photographs to verify on")
    return np.stack(images)
