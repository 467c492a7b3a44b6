"""A graph whose weights are those of the checkpoint beside it: stored once, read by PyTorch and by ONNX Runtime."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 4096
"""Elements of a weight from which it is worth sharing."""
BACKWARDS = np.iinfo(np.int64).min
KINDS = {"F16": (TensorProto.FLOAT16, np.float16), "F32": (TensorProto.FLOAT, np.float32)}


@dataclass(frozen=True)
class Stored:
    """A tensor of a .safetensors file and the bytes in which it lies."""

    name: str
    values: np.ndarray
    kind: int
    offset: int


def stored_tensors(path: Path) -> list[Stored]:
    """Return the floating tensors of a .safetensors file."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    found = []
    for name, entry in json.loads(data[8:start]).items():
        if entry.get("dtype") in KINDS:
            kind, dtype = KINDS[entry["dtype"]]
            first, last = entry["data_offsets"]
            values = np.frombuffer(data[start + first : start + last], dtype).reshape(entry["shape"])
            found.append(Stored(name, values, kind, start + first))
    return found


def share_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Replace the initializers of a model that are a tensor of a .safetensors file, transposed or flipped or as it is.

    They become external data in that file, which is to lie beside the model, followed by the nodes that turn it into what
    the graph reads; ONNX Runtime computes these once, as it opens the model. Values stay the same to the bit.
    """
    stored, nodes, kept, shared = stored_tensors(weights), [], [], {}
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        match = _match(values, stored) if values.dtype == np.float32 and values.size >= SMALLEST else None
        if match is None:
            kept.append(tensor)
            continue
        source, order, flipped = match
        shared[source.name] = _external(source, weights.name)
        nodes += _turned(source, tensor.name, order, flipped)
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *shared.values()])
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])


def _match(values: np.ndarray, stored: Sequence[Stored]) -> tuple[Stored, tuple[int, ...], tuple[int, ...]] | None:
    """Return the stored tensor that some values are, the order of its axes, and the axes that then run backwards."""
    for source in stored:
        if source.values.size != values.size or source.values.ndim != values.ndim:
            continue
        for order in permutations(range(values.ndim)):
            turned = source.values.transpose(order)
            for flipped in ((), (2, 3)) if values.ndim == 4 else ((),):
                if turned.shape == values.shape and np.array_equal(np.flip(turned, flipped), values):
                    return source, order, flipped
    return None


def _external(source: Stored, location: str) -> onnx.TensorProto:
    tensor = TensorProto(name=source.name, data_type=source.kind, dims=source.values.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", source.offset), ("length", source.values.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _turned(source: Stored, name: str, order: tuple[int, ...], flipped: tuple[int, ...]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes from a stored tensor to the value that the graph reads under `name`."""
    last, steps = source.name, []
    if order != tuple(range(len(order))):
        steps.append(("Transpose", [], {"perm": order}))
    if flipped:
        count = len(flipped)
        ends = {"starts": [-1] * count, "ends": [BACKWARDS] * count, "axes": flipped, "steps": [-1] * count}
        for part, numbers in ends.items():
            constant = numpy_helper.from_array(np.array(numbers, np.int64))
            yield helper.make_node("Constant", [], [f"{name}.{part}"], value=constant)
        steps.append(("Slice", [f"{name}.{part}" for part in ends], {}))
    steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
    for place, (operator, inputs, attributes) in enumerate(steps):
        output = name if place == len(steps) - 1 else f"{name}.{place}"
        yield helper.make_node(operator, [last, *inputs], [output], **attributes)
        last = output
