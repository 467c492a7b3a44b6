"""Bundles with a whole preset: exported, checked and run with the same constants from the descent to the finished map."""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..export.bundles.bundle import Bundle, holds, read_bundle
from ..export.bundles.bundle_files import BUNDLE_FILE
from ..export.bundles.descent_config import Precision
from ..export.bundles.descent_contents import DescentContents
from ..export.bundles.drafts import checked_target
from ..export.bundles.map_contents import MapContents
from ..export.graph.exportables import export_classifier, export_map_network
from ..export.graph.exporter import require_tools
from ..export.parity.checking import check_bundle
from ..export.parity.descent_parity import Finish, raw_map
from ..export.parity.report import Parity
from ..export.parity.synthetic import synthetic_images
from ..fields import mapping, text
from ..train.networks.maps.mapper_metadata import read_map_metadata
from ..train.networks.metadata import understood
from ..train.networks.model_names import load_classifier
from .inputs.decoding import DecodingConfig, decode
from .inputs.input import read
from .inputs.sources import Sources
from .methods.postprocess import finish
from .methods.presets import PostConfig, Preset, preset
from .methods.region_contrast import region_contrast

PROBES = 20


def export_model(
    model: str,
    directory: Path,
    chosen: Preset,
    weights: str | None = None,
    precision: Precision = "fp32",
    photographs: str | None = None,
) -> Bundle[DescentContents]:
    """Export a classifier with a preset (see `export_classifier`); photographs: a source of probe images."""
    checked_target(directory, model)  # before packages are imported that take seconds
    require_tools()
    probes = probe_images(photographs, load_classifier(model, weights).metadata.input.size) if photographs else None
    stored = {"name": chosen.name, "post": asdict(chosen.post)}
    return export_classifier(
        model, directory, chosen.descent, stored, weights, precision, probes, finisher(chosen.post)
    )


def export_map_model(
    model: str, directory: Path, iterations: int | None = None, photographs: str | None = None
) -> Bundle[MapContents]:
    """Export a promoter or an attentional network (see `export_map_network`).

    A promoter is verified on the Region Contrast maps of its probe images.
    """
    checked_target(directory, model)
    require_tools()
    metadata = read_map_metadata(Path(model))
    size = metadata.input.size
    probes = probe_images(photographs, size) if photographs else synthetic_images(size)
    priors = region_contrast(probes) if metadata.kind == "promoter" else None
    return export_map_network(model, directory, iterations, probes, priors)


def check_model(directory: Path, device: str = "cpu", backend: str = "auto") -> Parity:
    """Run a bundle on its probe and compare with what eager PyTorch made: of a classifier, the maps of its preset.

    See `check_bundle`.
    """
    if holds(directory, DescentContents):
        return check_bundle(directory, device, backend, _finish_of(read_bundle(directory, DescentContents)))
    return check_bundle(directory, device, backend)


def bundle_preset(model: str) -> Preset | None:
    """Return the preset of the bundle of a classifier; None where the model is something else."""
    return preset_of(read_bundle(model, DescentContents)) if holds(model, DescentContents) else None


def preset_of(bundle: Bundle[DescentContents]) -> Preset:
    """Return the preset that a bundle was exported with; one without has the constants of its graph and `reference`'s."""
    if not bundle.contents.preset:
        return replace(preset("reference"), descent=bundle.contents.descent)
    with understood(bundle.directory / BUNDLE_FILE, "a preset that this unsee knows"):
        name = text(bundle.contents.preset["name"], "name of the preset")
        return Preset(name, bundle.contents.descent, PostConfig(**mapping(bundle.contents.preset["post"], "post")))


def _finish_of(bundle: Bundle[DescentContents]) -> Finish:
    """Return what made the maps in a bundle's probe."""
    return finisher(preset_of(bundle).post) if bundle.contents.preset else raw_map


def finisher(config: PostConfig) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what turns differences [B,3,S,S] and images [B,S,S,3] into finished maps [B,S,S]."""
    return lambda delta, images: finish(delta, images, config).final


def probe_images(source: str, size: int) -> np.ndarray:
    """Return the first photographs of a source on the network's grid, uint8 [B,S,S,3]."""
    members = islice(Sources((source,)).stream(), PROBES)
    return np.stack([decode(read(member), DecodingConfig(size)).pixels for member in members])
