"""What a runtime knows of a model: the inputs and outputs of its graph, and what of them changes from turn to turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UnseeError

OPSET = 18
"""Version of ONNX's operators that our graphs are of."""
BATCH = "batch"
"""What stands for the size of a batch in the shape of a tensor."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output. type: NumPy's name of its elements. shape: begins with `BATCH` where there is one per image."""

    name: str
    shape: tuple[int | str, ...] = ()
    type: str = "float32"

    def __str__(self) -> str:
        return f"{self.name} {self.type} {list(self.shape)}"

    @classmethod
    def of_images(cls, name: str, *shape: int, type: str = "float32") -> "TensorSpec":
        """Return the specification of a tensor with one part of that shape an image."""
        return cls(name, (BATCH, *shape), type)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TensorSpec":
        """Return the specification that `to_json` wrote."""
        return cls(value["name"], tuple(value["shape"]), value["type"])

    def to_json(self) -> dict[str, Any]:
        """Return the specification as a bundle's description holds it."""
        return {"name": self.name, "type": self.type, "shape": list(self.shape)}

    def zeros(self, batch: int) -> np.ndarray:
        """Return zeros for a batch."""
        return np.zeros([batch if side == BATCH else int(side) for side in self.shape], self.type)


@dataclass(frozen=True)
class Graph:
    """A function of tensors.

    state: inputs that the output next_<name> replaces in the next turn. counters: scalar inputs given anew each turn. All
    other inputs stay what they are; every input that is no counter has one part an image.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()

    @property
    def takes_batches(self) -> bool:
        """Whether the size of a batch is free."""
        return all(spec.shape[:1] == (BATCH,) for spec in self.per_image)

    @property
    def per_image(self) -> tuple[TensorSpec, ...]:
        """The inputs that are no counters."""
        return tuple(spec for spec in self.inputs if spec.name not in self.counters)

    @property
    def scalars(self) -> tuple[TensorSpec, ...]:
        """The inputs that are counters."""
        return tuple(spec for spec in self.inputs if spec.name in self.counters)

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Return the inputs and outputs as a bundle's description holds them."""
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
        }

    def check(self, found: Mapping[str, Any]) -> None:
        """Raise `UnseeError` naming the first input or output that is not this graph's, whatever their order.

        found: as `to_json` returns them.
        """
        for side, expected in (("inputs", self.inputs), ("outputs", self.outputs)):
            there = {one["name"]: TensorSpec.from_json(one) for one in found[side]}
            for spec in expected:
                if there.get(spec.name) != spec:
                    raise UnseeError(f"the graph has {there.get(spec.name, 'nothing')} where {spec} belongs")
            if len(found[side]) != len(expected):
                raise UnseeError(f"the graph has {len(found[side])} {side}, expected {len(expected)}")
