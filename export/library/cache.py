"""Bundles of checkpoints that were never exported by hand, kept in the cache directory for the next run."""

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import OutputError, UnseeError
from ...files import digest_of
from ...locks import locked
from ...train.networks.downloads import cache_directory
from ...train.networks.model_names import Found
from ..bundles.bundle import Bundle, read_bundle
from ..bundles.descent_config import DescentConfig, Precision
from ..bundles.descent_contents import GRAPH_CONSTANTS, DescentContents, descent_to_json
from ..bundles.map_contents import MapContents

LOG = logging.getLogger("unsee")

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier
    from ...train.networks.maps.mappers import LoadedMapNetwork
    from ..graph.exporter import Exportable

Kept = TypeVar("Kept", DescentContents, MapContents)

LONGEST_NAME = 100
"""Characters of a classifier's name in that of its bundle."""
VERIFIED_ITERATIONS = 5
"""Of the descents that a new bundle is verified by: enough to show a wrong graph, and done within seconds."""


def cached_bundle(
    found: Found, config: DescentConfig, layers: Precision = "fp32", cache: Path | None = None
) -> Bundle[DescentContents]:
    """Return the bundle of a classifier, exported and verified if the cache lacks it or holds it damaged.

    layers: what they compute in.

    Bundles are told apart by the checkpoint's bytes, the constants in the graph and the version of unsee; what is in the
    cache is found without PyTorch. Several processes may ask at once: one of them exports. Raises as `export` does.
    """
    constants = {name: descent_to_json(config)[name] for name in GRAPH_CONSTANTS}
    half = "" if layers == "fp32" else f"-{layers}"
    name = f"{short_name(found.name)}-{found.digest()[:12]}-{_identity(constants)}{half}"
    return cached(name, DescentContents, lambda: step_to_run(found.load(), config, layers), cache)


def cached_map_bundle(model: str, iterations: int | None = None, cache: Path | None = None) -> Bundle[MapContents]:
    """Return the bundle of a map network's checkpoint as `cached_bundle` does a classifier's.

    iterations: passes T of a promoter, the checkpoint's own where None. Raises as `export_map_network` does.
    """
    from ..graph.eager import load_with_iterations

    return cached_loaded(load_with_iterations(Path(model), iterations), cache)


def cached_loaded(loaded: "LoadedMapNetwork", cache: Path | None = None) -> Bundle[MapContents]:
    """Return the bundle of a map network that is in memory as `cached_map_bundle` does."""
    from ...train.networks.maps.mappers import fingerprint
    from ..graph.exportables import MapNetwork

    return cached(f"{fingerprint(loaded)}-{_identity({})}", MapContents, lambda: MapNetwork(loaded), cache)


def short_name(name: str) -> str:
    """Return what of a name goes into that of a bundle in the cache."""
    return re.sub(r"[^\w.-]+", "_", name)[-LONGEST_NAME:]


def _identity(constants: dict[str, Any]) -> str:
    return digest_of({**constants, "unsee": version("unsee")})[:12]


def cached(
    name: str, contents: type[Kept], exportable: "Callable[[], Exportable[Kept]]", cache: Path | None = None
) -> Bundle[Kept]:
    """Return the bundle of a name in the cache, exported where it is not there or damaged.

    What cannot be loaded is an error before anything is said of exporting.
    """
    folder = (cache or cache_directory()) / "bundles"
    directory = folder / name
    with alone(folder / f"{name}.lock"):
        try:
            return read_bundle(directory, contents)
        except UnseeError:  # not there, or damaged
            _remove(directory)
            return _exported(name, exportable(), directory)


def _exported(name: str, exportable: "Exportable[Kept]", directory: Path) -> Bundle[Kept]:
    """Export, and say so: it takes seconds, and minutes for a large network."""
    from ..graph.exporter import export, require_tools

    require_tools(exportable.packages)
    LOG.info("exporting %s (once; kept in the cache)", name)
    started = time.perf_counter()
    bundle = export(exportable, directory)
    LOG.info("exported in %.0f s", time.perf_counter() - started)
    return bundle


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def step_to_run(
    classifier: "Classifier", config: DescentConfig, layers: Precision = "fp32"
) -> "Exportable[DescentContents]":
    """Return the descent step of a classifier that is exported to be run at once: verified, and not for long."""
    from ..graph.exportables import ClassifierStep

    verified = replace(config, iterations=min(config.iterations, VERIFIED_ITERATIONS))
    return ClassifierStep(classifier, verified, precision=layers)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Keep other processes out of the block."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise OutputError(
            f"{error.filename}: the cache cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that can"
        ) from None
    with locked(lock):
        yield
