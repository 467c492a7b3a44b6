"""The bundle of a classifier's descent step: a directory that runs without PyTorch (design section 2)."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UnseeError
from ..train.metadata import InputSpec, Label, read_labels
from .bundle_files import DESCENT, PROBE_FILE, read_description, write_description
from .config import DescentConfig

STEP_FILE = "step.onnx"
LABELS_FILE = "labels.json"
FILES = (STEP_FILE, LABELS_FILE, PROBE_FILE)

GRAPH_CONSTANTS = ("cost", "gamma", "gradient", "gradient_floor", "clip")
"""What of a `DescentConfig` is written into the graph; the rest are inputs of the loop."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read and checked.

    model_id: as of the checkpoint it was made from. descent: the constants in its graph, and defaults of the loop.
    preset: the whole preset it was exported with, as JSON; the loop and the post-processing are its default.
    precision: that of the network's layers. opset, tensors: version of ONNX's operators, and name, type and shape of
    every input and output. versions: of the tools that made it. parity: the report of the export (see `parity`).
    """

    directory: Path
    model_id: str
    network: str
    input: InputSpec
    labels: tuple[Label, ...]
    descent: DescentConfig
    preset: dict[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    opset: int = 0
    tensors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def graph_path(self) -> Path:
        """The ONNX file."""
        return self.directory / STEP_FILE


def write_bundle(bundle: Bundle) -> None:
    """Write bundle.json (see `write_description`)."""
    description = {
        "kind": DESCENT,
        "model_id": bundle.model_id,
        "network": bundle.network,
        "input": asdict(bundle.input),
        "classes": len(bundle.labels),
        "descent": descent_to_json(bundle.descent),
        "preset": bundle.preset,
        "precision": bundle.precision,
        "opset": bundle.opset,
        "tensors": bundle.tensors,
        "versions": bundle.versions,
        "parity": bundle.parity,
    }
    write_description(bundle.directory, description, FILES)


def read_bundle(directory: Path) -> Bundle:
    """Read and check a bundle of a classifier; raises `UnseeError` as `read_description` does."""
    with read_description(directory, (DESCENT,), FILES) as value:
        return Bundle(
            directory=directory,
            model_id=str(value["model_id"]),
            network=str(value["network"]),
            input=InputSpec.from_json(value["input"]),
            labels=read_labels(directory / LABELS_FILE, int(value["classes"])),
            descent=descent_from_json(value["descent"]),
            preset=dict(value["preset"]),
            precision=str(value["precision"]),
            opset=int(value["opset"]),
            tensors=dict(value["tensors"]),
            versions=dict(value["versions"]),
            parity=dict(value["parity"]),
        )


def check_constants(bundle: Bundle, config: DescentConfig) -> None:
    """Raise `UnseeError` naming every constant of the graph that a configuration wants otherwise."""
    differences = [
        f"{name} is {getattr(bundle.descent, name)!r}, not {getattr(config, name)!r}"
        for name in GRAPH_CONSTANTS
        if getattr(bundle.descent, name) != getattr(config, name)
    ]
    if differences:
        raise UnseeError(
            f"{bundle.directory}: the bundle's graph was exported with other constants ({'; '.join(differences)}): "
            "use its preset, or export the model again with these"
        )


def descent_to_json(config: DescentConfig) -> dict[str, Any]:
    """Return a configuration as JSON; an infinite floor becomes a string, for JSON has no infinity."""
    return {
        name: str(value) if isinstance(value, float) and math.isinf(value) else value
        for name, value in asdict(config).items()
    }


def descent_from_json(value: dict[str, Any]) -> DescentConfig:
    """Return the configuration that `descent_to_json` wrote."""
    return DescentConfig(**{**value, "gradient_floor": float(value["gradient_floor"])})
