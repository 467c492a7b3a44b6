"""What one iteration of a descent costs by its graph: operations and bytes of every operator of step.onnx."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx

VIEWS = frozenset("Constant Flatten Identity Reshape Shape Squeeze Unsqueeze".split())
"""Operators that move nothing."""
MOVES = frozenset("Cast Concat DepthToSpace Expand Gather Pad Slice SpaceToDepth Split Tile Transpose".split())
"""Operators that compute nothing."""
POOLS = frozenset("AveragePool MaxPool".split())
LARGEST_CONSTANT = 1024
"""Elements; shapes are computed from smaller constants, larger ones are weights."""


@dataclass(frozen=True)
class Cost:
    """Operators of one type together, for a batch: their number, floating-point operations, bytes read and written."""

    operator: str
    count: int
    operations: int
    bytes: int

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / max(self.bytes, 1)


@dataclass(frozen=True)
class Ceilings:
    """What a machine can do: operations a second in matrix products, bytes a second in copies (read and written)."""

    operations: float
    bytes: float

    def seconds(self, cost: Cost) -> float:
        """Return the least time that a cost takes by whichever ceiling it meets first."""
        return max(cost.operations / self.operations, cost.bytes / self.bytes)

    def bound(self, cost: Cost) -> str:
        """Return what limits a cost: computing or memory."""
        return "computing" if cost.operations / self.operations >= cost.bytes / self.bytes else "memory"

    def floor(self, costs: Iterable[Cost]) -> float:
        """Return the least seconds of operators that run one after the other."""
        return sum(self.seconds(cost) for cost in costs)


def step_costs(path: Path, batch: int) -> list[Cost]:
    """Return the cost of every operator of a step of a batch, in the graph's order.

    Every operator reads its inputs, weights included, and writes its outputs once; runtimes that fuse operators, or
    whose caches hold what one operator leaves to the next, move less. Operations: two a multiply-add in convolutions
    and matrix products, one an element elsewhere.
    """
    graph = _inferred(onnx.load(path), batch).graph
    tensors = {value.name: _Tensor.of(value) for value in [*graph.input, *graph.value_info, *graph.output]}
    tensors |= {one.name: _Tensor(tuple(one.dims), _item_size(one.data_type)) for one in graph.initializer}
    return [
        _cost(node, [tensors[name] for name in node.input if name], [tensors[name] for name in node.output if name])
        for node in graph.node
    ]


def by_operator(costs: Iterable[Cost]) -> list[Cost]:
    """Return the sums of every operator type, those that take most operations first."""
    totals: dict[str, Cost] = {}
    for cost in costs:
        so_far = totals.get(cost.operator, Cost(cost.operator, 0, 0, 0))
        totals[cost.operator] = _sum(cost.operator, (so_far, cost))
    return sorted(totals.values(), key=lambda cost: (-cost.operations, -cost.bytes, cost.operator))


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of all."""
    return _sum("all", list(costs))


def _sum(name: str, costs: Iterable[Cost]) -> Cost:
    figures = [(cost.count, cost.operations, cost.bytes) for cost in costs]
    return Cost(name, *map(sum, zip(*figures, strict=True)))


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    item_size: int

    @classmethod
    def of(cls, value: onnx.ValueInfoProto) -> "_Tensor":
        kind = value.type.tensor_type
        return cls(tuple(dimension.dim_value for dimension in kind.shape.dim), _item_size(kind.elem_type))

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.item_size


def _item_size(element_type: int) -> int:
    return onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize


def _cost(node: onnx.NodeProto, inputs: list[_Tensor], outputs: list[_Tensor]) -> Cost:
    if node.op_type in VIEWS:
        return Cost(node.op_type, 1, 0, 0)
    written = sum(tensor.bytes for tensor in outputs)
    read = written if node.op_type in ("Slice", "Gather") else sum(tensor.bytes for tensor in inputs)
    return Cost(node.op_type, 1, _operations(node, inputs, outputs), read + written)


def _operations(node: onnx.NodeProto, inputs: list[_Tensor], outputs: list[_Tensor]) -> int:
    if node.op_type == "Conv":
        return 2 * outputs[0].elements * prod(inputs[1].shape[1:])
    if node.op_type == "ConvTranspose":
        return 2 * inputs[0].elements * prod(inputs[1].shape[1:])
    if node.op_type in ("Gemm", "MatMul"):
        summed = 0 if _attribute(node, "transA") else -1
        return 2 * outputs[0].elements * inputs[0].shape[summed]
    if node.op_type in MOVES:
        return 0
    if node.op_type in POOLS:
        return outputs[0].elements * prod(_attribute(node, "kernel_shape"))
    return max(tensor.elements for tensor in [*inputs, *outputs])


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    return next((onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == name), None)


def _inferred(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return a model without weights, whose values all have shapes."""
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = batch
    weights = list(_weights(graph))
    small = [one for one in graph.initializer if prod(one.dims) <= LARGEST_CONSTANT]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(small)
    graph.input.extend(weights)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    for one in graph.initializer:
        if prod(one.dims) > LARGEST_CONSTANT:
            yield onnx.helper.make_tensor_value_info(one.name, one.data_type, list(one.dims))
