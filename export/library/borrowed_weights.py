"""A graph that borrows its weights from files of others: whole tensors by their place in the file, whatever its format.

The optimiser folds a batch normalisation into the convolution before it, so that no file holds what the graph reads. Here
the convolution's weights become the little sum that makes them of the stored tensors; a runtime computes it once, as it
opens the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ...errors import UnseeError

KINDS = {np.dtype(np.float16): TensorProto.FLOAT16, np.dtype(np.float32): TensorProto.FLOAT}
NORMALIZATION = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Lender:
    """A file beside the graph, and the tensors that are found in it by their bytes. dtype: that it holds them in."""

    path: Path
    dtype: type[np.floating]

    def lend(self, name: str, values: np.ndarray) -> tuple[onnx.TensorProto, list[onnx.NodeProto]]:
        """Return a tensor that stands for values of the file, and the nodes that make `name` of it, in float32.

        Their axes may stand in any order in the file. Raises `UnseeError` where they are not in it.
        """
        content = self.path.read_bytes()
        for order in permutations(range(values.ndim)):
            stored = np.ascontiguousarray(values.transpose(order), self.dtype)
            offset = content.find(stored.tobytes())
            if offset >= 0:
                back = [int(axis) for axis in np.argsort(order)]
                nodes = [
                    helper.make_node("Transpose", [f"{name}.stored"], [f"{name}.ordered"], perm=back),
                    helper.make_node("Cast", [f"{name}.ordered"], [name], to=TensorProto.FLOAT),
                ]
                return self._tensor(f"{name}.stored", stored, offset), nodes
        raise UnseeError(f"{self.path}: does not hold {name}")

    def _tensor(self, name: str, stored: np.ndarray, offset: int) -> onnx.TensorProto:
        tensor = TensorProto(name=name, data_type=KINDS[np.dtype(self.dtype)], dims=stored.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self.path.name), ("offset", offset), ("length", stored.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


def borrow_weights(model: onnx.ModelProto, network: nn.Module, prefix: str, lenders: Mapping[str, Lender]) -> None:
    """Have a graph read a network's convolutions from files. lenders: by the first part of a module's name.

    prefix: of the network's names in the graph. A convolution that a batch normalisation follows in its container is taken
    to be folded with it. Raises `UnseeError` where a file lacks a tensor, or the graph a convolution.
    """
    graph = model.graph
    convolutions = {node.input[1]: node for node in graph.node if node.op_type == "Conv"}
    tensors, nodes, replaced = [], [], set()
    for name, convolution, normalization in _convolutions(network):
        reader = convolutions.get(f"{prefix}{name}.weight")
        if reader is None:
            raise UnseeError(f"the graph has no convolution {prefix}{name}")
        lender = lenders[name.partition(".")[0]]
        for part, values in _parts(convolution, normalization):
            tensor, read = lender.lend(f"{name}.{part}", values)
            tensors.append(tensor)
            nodes += read
        if len(reader.input) < 3:  # all zeros in this network
            reader.input.append(f"{name}.sum")
        nodes += _made(name, list(reader.input[1:]), normalization)
        replaced |= set(reader.input[1:])
    kept = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    own = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *tensors])
    graph.node.extend([*nodes, *own])


def _convolutions(network: nn.Module) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Yield every convolution by its name, with the batch normalisation that stands behind it in the same module."""
    for owner_name, owner in network.named_modules():
        children = list(owner.named_children())
        for place, (child_name, child) in enumerate(children):
            if isinstance(child, nn.Conv2d):
                behind = children[place + 1][1] if place + 1 < len(children) else None
                name = f"{owner_name}.{child_name}" if owner_name else child_name
                yield name, child, behind if isinstance(behind, nn.BatchNorm2d) else None


def _parts(convolution: nn.Conv2d, normalization: nn.BatchNorm2d | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors that a convolution's weights are made of, by short names."""
    yield "kernel", convolution.weight.detach().numpy()
    if normalization is None:
        assert convolution.bias is not None
        yield "shift", convolution.bias.detach().numpy()
        return
    for part in NORMALIZATION:
        yield part, cast(nn.Parameter, getattr(normalization, part)).detach().numpy()


def _made(name: str, wanted: list[str], normalization: nn.BatchNorm2d | None) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that make a convolution's weight and bias, `wanted`, of its parts."""
    weight, bias = wanted
    if normalization is None:
        yield helper.make_node("Identity", [f"{name}.kernel"], [weight])
        yield helper.make_node("Identity", [f"{name}.shift"], [bias])
        return
    for part, values in (("epsilon", np.float32(normalization.eps)), ("shape", np.array([-1, 1, 1, 1]))):
        yield helper.make_node("Constant", [], [f"{name}.{part}"], value=numpy_helper.from_array(np.asarray(values)))
    for kind, inputs, output in (
        ("Add", ("running_var", "epsilon"), "shifted"),
        ("Sqrt", ("shifted",), "deviation"),
        ("Div", ("weight", "deviation"), "scale"),
        ("Reshape", ("scale", "shape"), "scales"),
        ("Mul", ("running_mean", "scale"), "mean"),
    ):
        yield helper.make_node(kind, [f"{name}.{part}" for part in inputs], [f"{name}.{output}"])
    yield helper.make_node("Mul", [f"{name}.kernel", f"{name}.scales"], [weight])
    yield helper.make_node("Sub", [f"{name}.bias", f"{name}.mean"], [bias])
