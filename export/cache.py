"""Bundles of checkpoints that were never exported by hand, kept in the cache directory for the next run."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from ..errors import UnseeError
from ..files import digest_of
from ..train.downloads import cache_directory
from .bundle import GRAPH_CONSTANTS, Bundle, descent_to_json, read_bundle
from .config import DescentConfig

VERIFIED_ITERATIONS = 5
"""Of the descents that a new bundle is verified by: enough to show a wrong graph, and done within seconds."""


def cached_bundle(model: str, config: DescentConfig, weights: str | None = None, cache: Path | None = None) -> Bundle:
    """Return the bundle of a checkpoint (see `load_classifier`), exported and verified if the cache lacks it
    or holds it damaged.

    Bundles are told apart by the network's weights, the constants in the graph and the version of unsee. Several
    processes may ask at once: one of them exports. Raises as `export_bundle` does.
    """
    from ..train.models import fingerprint, load_classifier

    constants = {name: descent_to_json(config)[name] for name in GRAPH_CONSTANTS}
    identity = digest_of({**constants, "unsee": version("unsee")})[:12]
    folder = (cache or cache_directory()) / "bundles"
    directory = folder / f"{fingerprint(load_classifier(model, weights))}-{identity}"
    with _alone(folder / f"{directory.name}.lock"):
        try:
            return read_bundle(directory)
        except UnseeError:  # not there, or damaged
            return _exported(model, directory, config, weights)


def _exported(model: str, directory: Path, config: DescentConfig, weights: str | None) -> Bundle:
    from .exporting import export_bundle

    shutil.rmtree(directory, ignore_errors=True)
    verified = replace(config, iterations=min(config.iterations, VERIFIED_ITERATIONS))
    return export_bundle(model, directory, verified, weights=weights)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other processes out of the block."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
