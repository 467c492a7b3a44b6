"""The one flow of every export: trace, write, probe, verify, and only then take the place of what was there."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ...extras import require, versions_of
from ..bundles.bundle import Bundle, Contents, read_bundle, write_bundle
from ..bundles.bundle_files import PROBE_FILE
from ..bundles.drafts import drafted
from ..bundles.graphs import OPSET
from ..bundles.onnx_tensors import tensors
from ..parity.checking import check_bundle
from ..parity.descent_parity import Finish, raw_map
from ..parity.probes import StoredProbe
from ..parity.synthetic import synthetic_images
from ..runtime.backends import EXPORT_PACKAGES

Held = TypeVar("Held", bound=Contents)

TOOLS = ("unsee", *EXPORT_PACKAGES, "numpy")


class Exportable(ABC, Generic[Held]):
    """A network that can become a bundle.

    contents: what the bundle will hold. model_id: of its checkpoint. precision: of its layers. finish: makes the maps of a
    descent that are compared. opset: version of ONNX's operators. packages: what exporting it needs, and the extra of each.
    """

    contents: Held
    model_id: str
    precision: str = "fp32"
    opset: int = OPSET
    packages: Mapping[str, str] = EXPORT_PACKAGES
    finish: Finish = staticmethod(raw_map)

    @abstractmethod
    def write(self, directory: Path) -> None:
        """Write the graph, and what else but the description and the probe the contents need."""

    @abstractmethod
    def probe(self, images: np.ndarray) -> StoredProbe:
        """Run eager PyTorch on images, uint8 [B,S,S,3]."""


def export(
    exportable: Exportable[Held], directory: Path, model: str | Path | None = None, images: np.ndarray | None = None
) -> Bundle[Held]:
    """Write a bundle, verify it against eager PyTorch, and put it in the place of an older one.

    model: the checkpoint, where the bundle may not lie. images: uint8 [B,S,S,3], to verify on, synthetic where None; they
    and their maps stay in the bundle for `check_bundle`. Raises `UnseeError` where the network holds an operator without
    adjoint or `directory` holds something else, `VerificationError` where the parity fails.
    """
    with drafted(directory, model) as draft:
        bundle = write_network(exportable, draft)
        size = next(spec for spec in bundle.graph.inputs if spec.name == "image").shape[-1]
        pixels = synthetic_images(int(size)) if images is None else images
        exportable.probe(pixels).save(draft / PROBE_FILE)
        write_bundle(bundle)
        parity = check_bundle(draft, finish=exportable.finish)
        write_bundle(replace(bundle, parity=parity.to_json()))
    return read_bundle(directory, type(exportable.contents))


def write_network(exportable: Exportable[Held], directory: Path) -> Bundle[Held]:
    """Write a network's graph, and return the bundle that it becomes with a probe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, to itself
        exportable.write(directory)
    bundle = Bundle(
        directory=directory,
        contents=exportable.contents,
        model_id=exportable.model_id,
        precision=exportable.precision,
        opset=exportable.opset,
        versions=versions_of(TOOLS),
    )
    bundle.graph.check(tensors(bundle.graph_path))
    return bundle


def require_tools(packages: Mapping[str, str] = EXPORT_PACKAGES) -> None:
    """Raise `MissingExtraError` naming the first package that exporting needs and that is not installed."""
    for package, extra in packages.items():
        require(package, extra, "exporting a model")
