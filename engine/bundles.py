"""Bundles with a whole preset: exported, checked and run with the same constants from the descent to the finished map."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import UnseeError
from ..export.bundle import Bundle, read_bundle
from ..export.bundle_files import is_bundle
from ..export.config import Precision
from ..export.exporting import check_bundle, export_bundle
from ..export.parity import Parity
from ..train.models import load_classifier
from .decoding import DecodingConfig, decode
from .inputs import read
from .postprocess import finish
from .presets import PostConfig, Preset
from .sources import Sources

PROBES = 20


def export_model(
    model: str,
    directory: Path,
    preset: Preset,
    weights: str | None = None,
    precision: Precision = "fp32",
    photographs: str | None = None,
) -> Bundle:
    """Export a classifier with a preset (see `export_bundle`); photographs: a source of probe images, or synthetic ones."""
    probes = probe_images(photographs, load_classifier(model, weights).metadata.input.size) if photographs else None
    stored = {"name": preset.name, "post": asdict(preset.post)}
    return export_bundle(model, directory, preset.descent, stored, weights, precision, probes, finisher(preset.post))


def check_model(directory: Path, device: str = "cpu", backend: str = "auto") -> Parity:
    """Run a bundle on its probe and compare the maps of its preset with what eager PyTorch made (see `check_bundle`)."""
    return check_bundle(directory, device, backend, finisher(preset_of(read_bundle(directory)).post))


def bundle_preset(model: str) -> Preset | None:
    """Return the preset of a bundle's directory; None where the model is something else."""
    return preset_of(read_bundle(Path(model))) if is_bundle(model) else None


def preset_of(bundle: Bundle) -> Preset:
    """Return the preset that a bundle was exported with."""
    try:
        return Preset(bundle.preset["name"], bundle.descent, PostConfig(**bundle.preset["post"]))
    except (KeyError, TypeError) as error:
        raise UnseeError(f"{bundle.directory} holds no preset that this unsee knows ({error})") from None


def finisher(config: PostConfig) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what turns differences [B,3,S,S] and images [B,S,S,3] into finished maps [B,S,S]."""
    return lambda delta, images: finish(delta, images, config).final


def probe_images(source: str, size: int) -> np.ndarray:
    """Return the first photographs of a source on the network's grid, uint8 [B,S,S,3]."""
    members = islice(Sources((source,)).stream(), PROBES)
    return np.stack([decode(read(member), DecodingConfig(size)).pixels for member in members])
