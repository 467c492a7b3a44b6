"""A digest of an exported graph: a change that is to change nothing leaves it as it is.

Covered are the nodes with their attributes and connections, and type and shape of every constant; names and weights are not.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

MADE_WITH = {"torch": "2.13.0", "onnx": "1.22.0", "onnxscript": "0.7.1"}
"""Other versions trace other graphs."""

DIGESTS: dict[str, str] = {}


def graph_digest(path: Path) -> str:
    """Return the digest of an ONNX file, 16 hexadecimal digits."""
    graph = onnx.load(path).graph
    numbers: dict[str, int] = {"": -1}
    digest = hashlib.sha256()
    for value in (*graph.input, *graph.initializer):
        numbers[value.name] = len(numbers)
    for constant in graph.initializer:
        digest.update(repr((constant.data_type, list(constant.dims))).encode())
    for node in graph.node:
        for name in node.output:
            numbers[name] = len(numbers)
        attributes = sorted((item.name, _value(item)) for item in node.attribute)
        connections = [[numbers[name] for name in names] for names in (node.input, node.output)]
        digest.update(repr((node.op_type, attributes, connections)).encode())
    digest.update(repr([numbers[value.name] for value in graph.output]).encode())
    return digest.hexdigest()[:16]


def check_digest(name: str, path: Path) -> None:
    """Compare with the digest that is kept, where the versions that it was made with are installed."""
    found = {package: version(package).partition("+")[0] for package in MADE_WITH}
    if found == MADE_WITH:
        assert graph_digest(path) == DIGESTS[name], f"the graph of {name} has changed"


def _value(attribute: onnx.AttributeProto) -> str:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return repr((value.data_type, list(value.dims), np.asarray(onnx.numpy_helper.to_array(value)).tobytes()))
    return repr(list(value) if hasattr(value, "__iter__") and not isinstance(value, bytes) else value)
