"""What a bundle of a classifier's descent step holds."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...errors import UnseeError
from ...fields import mapping
from ...train.networks.metadata import LABELS_FILE
from .bundle_files import PROBE_FILE
from .classifier_contents import ClassifierContents
from .descent_config import DescentConfig
from .graphs import Graph, TensorSpec

STEP_FILE = "step.onnx"

GRAPH_CONSTANTS = ("cost", "gamma", "gradient", "gradient_floor", "clip")
"""What of a `DescentConfig` is written into the graph; the rest are inputs of the loop."""


@dataclass(frozen=True, kw_only=True)
class DescentContents(ClassifierContents):
    """A classifier's descent step.

    descent: the constants in its graph, and defaults of the loop. preset: the whole preset it was exported with, as JSON;
    the loop and the post-processing are its default.
    """

    descent: DescentConfig
    preset: dict[str, Any] = field(default_factory=dict)
    kinds: ClassVar[tuple[str, ...]] = ("descent",)
    graph_file: ClassVar[str] = STEP_FILE
    files: ClassVar[tuple[str, ...]] = (STEP_FILE, LABELS_FILE, PROBE_FILE)

    @property
    def graph(self) -> Graph:
        """Inputs and outputs of the step."""
        return step_graph(self.input.size, len(self.labels))

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.network}, preset {self.preset.get('name', 'none')}"

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads, with the number of the labels, which have a file of their own."""
        descent = descent_to_json(self.descent)
        return {"kind": self.kinds[0], **self.shared_json(), "descent": descent, "preset": self.preset}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DescentContents":
        """Return what a description holds; the labels are numbers until `with_files`."""
        return cls(
            descent=descent_from_json(mapping(value["descent"], "descent")),
            preset=mapping(value["preset"], "preset"),
            **cls.shared_fields(value),
        )


def step_graph(size: int, classes: int) -> Graph:
    """Return the inputs and outputs of the descent step of a network with that input and so many classes."""
    state = (("image", (3, size, size), "float32"), ("reference", (classes,), "float32"), ("target", (), "int64"))
    counters = (TensorSpec("iteration", type="int64"), TensorSpec("step_size"))
    return Graph(
        (*(TensorSpec.of_images(name, *shape, type=kind) for name, shape, kind in state), *counters),
        (
            *(TensorSpec.of_images(f"next_{name}", *shape, type=kind) for name, shape, kind in state),
            TensorSpec.of_images("logits", classes),
        ),
        state=tuple(name for name, _, _ in state),
        counters=tuple(spec.name for spec in counters),
    )


def check_constants(contents: DescentContents, config: DescentConfig, bundle: Path) -> None:
    """Raise `UnseeError` naming every constant of a bundle's graph that a configuration wants otherwise."""
    differences = list(_differences(contents, config))
    if differences:
        raise UnseeError(
            f"{bundle}: the bundle's graph was exported with other constants ({'; '.join(differences)}): "
            "use its preset, or export the model again with these"
        )


def has_constants(contents: DescentContents, config: DescentConfig) -> bool:
    """Say whether a bundle's graph has the constants of a configuration."""
    return not any(_differences(contents, config))


def _differences(contents: DescentContents, config: DescentConfig) -> Iterator[str]:
    for name in GRAPH_CONSTANTS:
        there, wanted = getattr(contents.descent, name), getattr(config, name)
        if there != wanted:
            yield f"{name} is {there!r}, not {wanted!r}"


def descent_to_json(config: DescentConfig) -> dict[str, Any]:
    """Return a configuration as JSON; an infinite floor becomes a string, for JSON has no infinity."""
    return {
        name: str(value) if isinstance(value, float) and math.isinf(value) else value
        for name, value in asdict(config).items()
    }


def descent_from_json(value: dict[str, Any]) -> DescentConfig:
    """Return the configuration that `descent_to_json` wrote."""
    return DescentConfig(**{**value, "gradient_floor": float(value["gradient_floor"])})
