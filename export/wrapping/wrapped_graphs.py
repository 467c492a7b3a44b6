"""Putting a network between what a bundle's graph takes and gives: pixels of 0..255 in, a map of 0..1 out.

Only operators are used that mean the same in every version from `OLDEST_OPSET` on, and that TensorRT has.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UnseeError
from ...resizing import Sides
from ...train.networks.maps.network_input import Activation, NetworkInput
from ...train.networks.metadata import written_sides
from ..bundles.graphs import BATCH
from ..bundles.map_contents import IMAGE, MAP
from .network_files import NetworkFile, Output, load_model

PREFIX = "network/"
"""Before every name of the network's own, so that none is one of ours."""
WEIGHTS = "{place}.weights"
SMALLEST_SPAN = 1e-12
"""Of values that are stretched to 0..1; where there is less, the map is zero."""
OLDEST_RESIZE = 11
SLICE_TAKES_INPUTS, PAD_TAKES_INPUTS = 10, 11
"""Versions from which on these operators have as inputs what were attributes."""


class _Nodes:
    """Operators of a version one after the other, each reading what the last one made."""

    def __init__(self, onnx: Any, opset: int, name: str, last: str) -> None:
        self.onnx, self.opset, self.name, self.last = onnx, opset, name, last
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, type: str = "float32") -> str:
        """Return the name of a constant."""
        name = f"{self.name}/constant{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, type), name))
        return name

    def add(self, operator: str, *others: str, result: str | None = None, **attributes: Any) -> str:
        """Apply an operator to the last result and others, and return the name of what it makes."""
        return self.apply(operator, [self.last, *others], result, **attributes)

    def apply(self, operator: str, inputs: Sequence[str], result: str | None = None, **attributes: Any) -> str:
        """Apply an operator to some inputs, and return the name of what it makes."""
        self.last = result or f"{self.name}/{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [self.last], self.last, **attributes))
        return self.last

    def cast(self, type: str, result: str | None = None) -> None:
        """Change the type of the last result."""
        self.add("Cast", result=result, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(type)))

    def cut(self, height: int, width: int) -> None:
        """Keep the top left of the last result, [B,C,H,W]."""
        starts, ends, axes = [0, 0], [height, width], [2, 3]
        if self.opset < SLICE_TAKES_INPUTS:
            self.add("Slice", starts=starts, ends=ends, axes=axes)
        else:
            self.add("Slice", *(self.constant(values, "int64") for values in (starts, ends, axes)))

    def pad(self, rows: int, columns: int) -> None:
        """Put zeros below and to the right of the last result, [B,C,H,W]."""
        pads = [0, 0, 0, 0, 0, 0, rows, columns]
        if self.opset < PAD_TAKES_INPUTS:
            self.add("Pad", pads=pads)
        else:
            self.add("Pad", self.constant(pads, "int64"))


def wrapped(
    file: NetworkFile, spec: NetworkInput, output: Output, sides: Sides, activation: Activation, alone: bool
) -> Any:
    """Return the model of a bundle.

    sides: of the output. alone: keep a batch of one image, which the graph has built in. Raises `UnseeError` where the
    output has to be enlarged and the graph is of operators too old for it.
    """
    import onnx
    from onnx import compose, helper

    model = load_model(file.path)
    _forget_weights_as_inputs(model)
    compose.add_prefix(model, PREFIX, inplace=True)
    before, after = _before(onnx, file, spec), _after(onnx, file, spec, output, sides, activation)
    batch = 1 if alone else BATCH
    graph = model.graph
    nodes = [*before.nodes, *graph.node, *after.nodes]
    for field, values in (
        (graph.node, nodes),
        (graph.input, [helper.make_tensor_value_info(IMAGE, 1, [batch, 3, spec.size, spec.size])]),
        (graph.output, [helper.make_tensor_value_info(MAP, 1, [batch, 1, spec.size, spec.size])]),
        (graph.value_info, []),  # written for the batch that was built in
    ):
        kept = list(values)
        del field[:]
        field.extend(kept)
    graph.initializer.extend([*before.constants, *after.constants])
    model.ir_version = max(model.ir_version, 4)  # from which on weights need not be inputs
    return model


def _forget_weights_as_inputs(model: Any) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _before(onnx: Any, file: NetworkFile, spec: NetworkInput) -> _Nodes:
    """Return what makes the network's input of pixels, float32 [B,3,S,S] in RGB."""
    nodes, (height, width) = _Nodes(onnx, file.opset, "before", IMAGE), spec.sides
    if height != width:
        nodes.cut(height, width)
    if spec.channel_order == "BGR":
        nodes.add("Gather", nodes.constant([2, 1, 0], "int64"), axis=1)
    factor = spec.range / np.array(spec.std)
    if spec.scale == "largest":
        pixels = nodes.last
        nodes.add("Reshape", nodes.constant([0, 1, 3 * height, width], "int64"))
        nodes.add("GlobalMaxPool")
        largest = nodes.add("Max", nodes.constant(1e-6))
        nodes.apply("Div", [pixels, largest])
    else:
        factor = factor / 255
    if np.any(factor != 1):
        nodes.add("Mul", nodes.constant(factor.reshape(1, 3, 1, 1)))
    if any(spec.mean):
        nodes.add("Sub", nodes.constant((np.array(spec.mean) / spec.std).reshape(1, 3, 1, 1)))
    if file.image.channels_last:
        nodes.add("Transpose", perm=[0, 2, 3, 1])
    if file.image.type == "uint8":  # a cast would cut
        nodes.add("Add", nodes.constant(0.5))
        nodes.add("Floor")
    nodes.cast(file.image.type, PREFIX + file.image.name)
    return nodes


def _after(
    onnx: Any, file: NetworkFile, spec: NetworkInput, output: Output, sides: Sides, activation: Activation
) -> _Nodes:
    """Return what makes a map, float32 [B,1,S,S], of the network's output."""
    nodes, (height, width) = _Nodes(onnx, file.opset, "after", PREFIX + output.name), spec.sides
    nodes.cast("float32")
    if output.type == "uint8":
        nodes.add("Mul", nodes.constant(1 / 255))
    nodes.add("Reshape", nodes.constant([-1, 1, *sides], "int64"))
    if activation in ("sigmoid", "sigmoid-minmax"):
        nodes.add("Sigmoid")
    if activation in ("minmax", "sigmoid-minmax"):
        _stretch(nodes)
    if sides != spec.sides:
        _enlarge(nodes, file, sides, spec.sides)
    if height != width:
        nodes.pad(spec.size - height, spec.size - width)
    nodes.add("Max", nodes.constant(0.0))
    nodes.add("Min", nodes.constant(1.0), result=MAP)
    return nodes


def _stretch(nodes: _Nodes) -> None:
    """Stretch each image's values from their least to their largest; equal ones become zero."""
    values = nodes.last
    high = nodes.add("GlobalMaxPool")
    nodes.apply("Neg", [values])
    nodes.add("GlobalMaxPool")
    low = nodes.add("Neg")
    nodes.apply("Sub", [high, low])
    span = nodes.add("Max", nodes.constant(SMALLEST_SPAN))
    nodes.apply("Sub", [values, low])
    nodes.add("Div", span)


def _enlarge(nodes: _Nodes, file: NetworkFile, sides: Sides, image: Sides) -> None:
    if file.opset < OLDEST_RESIZE:
        raise UnseeError(
            f"{file.path}: its maps are {written_sides(sides)} for images of {written_sides(image)}, which cannot be "
            f"enlarged with operators of version {file.opset}: export it with maps of the image's size, or with version 11 "
            "or later"
        )
    factors = np.divide(image, sides).astype(np.float32)
    too_small = np.floor(np.array(sides, np.float32) * factors) < image  # by rounding
    factors = np.where(too_small, np.nextafter(factors, np.float32(np.inf)), factors)
    values, scales = nodes.last, nodes.constant([1, 1, *factors])
    nodes.apply("Resize", [values, nodes.constant([]), scales], mode="linear")


def moved_weights(model: Any) -> dict[str, str]:
    """Give the files of a model's weights names of our own, and return them by their old ones."""
    names: dict[str, str] = {}
    for tensor in _tensors(model.graph):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = names.setdefault(entry.value, WEIGHTS.format(place=len(names)))
    return names


def _tensors(graph: Any) -> list[Any]:
    """Return every tensor of a graph and of the graphs within its operators."""
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                found += _tensors(inner)
    return found


def write_model(model: Any, path: Path, source: Path) -> None:
    """Write a model and, beside it, the files of its weights; source: the file that it comes from."""
    for old, new in moved_weights(model).items():
        shutil.copyfile(source.parent / old, path.with_name(new))
    path.write_bytes(model.SerializeToString())
