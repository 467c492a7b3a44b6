"""Bundles with a whole preset: exported, checked and run with the same constants from the descent to the finished map."""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..export.bundle import Bundle, read_bundle
from ..export.bundle_files import BUNDLE_FILE, DESCENT, bundle_kind
from ..export.config import Precision
from ..export.drafts import checked_target
from ..export.exporting import check_bundle, export_bundle, require_tools
from ..export.map_bundle import MapBundle, is_map_bundle
from ..export.map_exporting import check_map_bundle, export_map_bundle
from ..export.map_parity import MapParity
from ..export.parity import Finish, Parity, raw_map, synthetic_images
from ..train.fields import mapping, text
from ..train.map_metadata import read_map_metadata
from ..train.metadata import understood
from ..train.models import load_classifier
from .decoding import DecodingConfig, decode
from .inputs import read
from .postprocess import finish
from .presets import PostConfig, Preset, preset
from .region_contrast import region_contrast
from .sources import Sources

PROBES = 20


def export_model(
    model: str,
    directory: Path,
    chosen: Preset,
    weights: str | None = None,
    precision: Precision = "fp32",
    photographs: str | None = None,
) -> Bundle:
    """Export a classifier with a preset (see `export_bundle`); photographs: a source of probe images, or synthetic ones."""
    checked_target(directory, model)  # before packages are imported that take seconds
    require_tools()
    probes = probe_images(photographs, load_classifier(model, weights).metadata.input.size) if photographs else None
    stored = {"name": chosen.name, "post": asdict(chosen.post)}
    return export_bundle(model, directory, chosen.descent, stored, weights, precision, probes, finisher(chosen.post))


def export_map_model(
    model: str, directory: Path, iterations: int | None = None, photographs: str | None = None
) -> MapBundle:
    """Export a promoter or an attentional network (see `export_map_bundle`).

    A promoter is verified on the Region Contrast maps of its probe images.
    """
    checked_target(directory, model)
    require_tools()
    metadata = read_map_metadata(Path(model))
    size = metadata.input.size
    probes = probe_images(photographs, size) if photographs else synthetic_images(size)
    priors = region_contrast(probes) if metadata.kind == "promoter" else None
    return export_map_bundle(model, directory, iterations, probes, priors)


def check_model(directory: Path, device: str = "cpu", backend: str = "auto") -> Parity | MapParity:
    """Run a bundle on its probe and compare with what eager PyTorch made: of a classifier, the maps of its preset.

    See `check_bundle` and `check_map_bundle`.
    """
    if is_map_bundle(directory):
        return check_map_bundle(directory, device, backend)
    return check_bundle(directory, device, backend, _finish_of(read_bundle(directory)))


def bundle_preset(model: str) -> Preset | None:
    """Return the preset of the bundle of a classifier; None where the model is something else."""
    return preset_of(read_bundle(Path(model))) if bundle_kind(model) == DESCENT else None


def preset_of(bundle: Bundle) -> Preset:
    """Return the preset that a bundle was exported with; one without has the constants of its graph and `reference`'s."""
    if not bundle.preset:
        return replace(preset("reference"), descent=bundle.descent)
    with understood(bundle.directory / BUNDLE_FILE, "a preset that this unsee knows"):
        name = text(bundle.preset["name"], "name of the preset")
        return Preset(name, bundle.descent, PostConfig(**mapping(bundle.preset["post"], "post")))


def _finish_of(bundle: Bundle) -> Finish:
    """Return what made the maps in a bundle's probe."""
    return finisher(preset_of(bundle).post) if bundle.preset else raw_map


def finisher(config: PostConfig) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what turns differences [B,3,S,S] and images [B,S,S,3] into finished maps [B,S,S]."""
    return lambda delta, images: finish(delta, images, config).final


def probe_images(source: str, size: int) -> np.ndarray:
    """Return the first photographs of a source on the network's grid, uint8 [B,S,S,3]."""
    members = islice(Sources((source,)).stream(), PROBES)
    return np.stack([decode(read(member), DecodingConfig(size)).pixels for member in members])
