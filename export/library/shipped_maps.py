"""The bundles of shipped map networks. One that borrows a backbone is completed in the cache, without PyTorch and ONNX."""

import shutil
from pathlib import Path

from ...errors import UnseeError
from ...files import atomic_path, sha256_of
from ...train.networks.downloads import cache_directory
from ...train.networks.maps.mapper_metadata import read_map_metadata
from ...train.networks.metadata import WEIGHTS_FILE
from ...train.networks.model_names import PACKAGES
from ..bundles.bundle import Bundle, is_bundle, read_bundle
from ..bundles.bundle_files import BUNDLE_FILE, PROBE_FILE
from ..bundles.map_contents import MAP_FILE, MapContents
from .cache import alone

SHIPPED_FILES = (WEIGHTS_FILE, MAP_FILE, PROBE_FILE, BUNDLE_FILE)
"""Of a bundle, its description last."""


def shipped_bundle(checkpoint: Path, cache: Path | None = None) -> Bundle[MapContents] | None:
    """Return the bundle of a checkpoint that came with unsee; None of any other.

    Raises `MissingExtraError` where the package of its backbone is not installed, `UnseeError` where that is another one
    than the bundle was made with.
    """
    if not is_bundle(checkpoint):
        return None
    frozen = read_map_metadata(checkpoint).frozen
    if not frozen:
        return read_bundle(checkpoint, MapContents)
    backbone = PACKAGES[frozen].find().path
    name = f"{checkpoint.name}-{sha256_of(checkpoint / BUNDLE_FILE)[:12]}"
    directory = (cache or cache_directory()) / "bundles" / name
    if not is_bundle(directory):
        _complete(directory, [*(checkpoint / file for file in SHIPPED_FILES[:-1]), backbone, checkpoint / BUNDLE_FILE])
    try:
        return read_bundle(directory, MapContents)
    except UnseeError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise UnseeError(f"{backbone}: not the weights that {checkpoint.name} was made with ({error})") from None


def _complete(directory: Path, files: list[Path]) -> None:
    """Copy files into a bundle's directory, each under its final name at once; one process does it, and others wait."""
    with alone(directory.with_name(f"{directory.name}.lock")):
        directory.mkdir(parents=True, exist_ok=True)
        for source in files:
            with atomic_path(directory / source.name) as temporary:
                shutil.copyfile(source, temporary)
