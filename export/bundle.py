"""The bundle of a classifier's descent step: a directory that runs without PyTorch (design section 2)."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UnseeError
from ..train.fields import mapping, text, whole
from ..train.metadata import LABELS_FILE, MOST_CLASSES, InputSpec, Label, read_labels
from .bundle_files import (
    BATCH,
    DESCENT,
    PROBE_FILE,
    GraphBundle,
    Tensors,
    from_description,
    read_description,
    tensor,
    write_description,
)
from .config import DescentConfig

STEP_FILE = "step.onnx"
FILES = (STEP_FILE, LABELS_FILE, PROBE_FILE)

GRAPH_CONSTANTS = ("cost", "gamma", "gradient", "gradient_floor", "clip")
"""What of a `DescentConfig` is written into the graph; the rest are inputs of the loop."""


@dataclass(frozen=True, kw_only=True)
class Bundle(GraphBundle):
    """A bundle of a classifier's descent step.

    descent: the constants in its graph, and defaults of the loop. preset: the whole preset it was exported with, as JSON;
    the loop and the post-processing are its default. parity: see `parity`.
    """

    graph_file = STEP_FILE
    network: str
    input: InputSpec
    labels: tuple[Label, ...]
    descent: DescentConfig
    preset: dict[str, Any] = field(default_factory=dict)


def write_bundle(bundle: Bundle) -> None:
    """Write bundle.json (see `write_description`)."""
    description = {
        "kind": DESCENT,
        **bundle.described(),
        "network": bundle.network,
        "input": asdict(bundle.input),
        "classes": len(bundle.labels),
        "descent": descent_to_json(bundle.descent),
        "preset": bundle.preset,
    }
    write_description(bundle.directory, description, FILES)


def read_bundle(directory: Path) -> Bundle:
    """Read and check a bundle of a classifier; raises `UnseeError` as `read_description` does."""
    with read_description(directory, (DESCENT,), FILES) as value:
        spec, classes = InputSpec.from_json(value["input"]), whole(value["classes"], "classes", 1, MOST_CLASSES)
        common = from_description(value, step_tensors(spec.size, classes))
        network, preset = text(value["network"], "network"), mapping(value["preset"], "preset")
        descent = descent_from_json(mapping(value["descent"], "descent"))
    labels = read_labels(directory / LABELS_FILE, classes)
    return Bundle(
        directory=directory, **common, network=network, input=spec, labels=labels, descent=descent, preset=preset
    )


def step_tensors(size: int, classes: int) -> Tensors:
    """Return the inputs and outputs of the descent step of a network with that input and so many classes."""
    state = [("image", "float32", (3, size, size)), ("reference", "float32", (classes,)), ("target", "int64", ())]
    scalars = [tensor("iteration", kind="int64"), tensor("step_size")]
    return {
        "inputs": [*(tensor(name, BATCH, *shape, kind=kind) for name, kind, shape in state), *scalars],
        "outputs": [
            *(tensor(f"next_{name}", BATCH, *shape, kind=kind) for name, kind, shape in state),
            tensor("logits", BATCH, classes),
        ],
    }


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
