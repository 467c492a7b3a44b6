"""A digest of an exported graph: a change that is to change nothing leaves it as it is.

Covered are the nodes with their attributes and connections, and type and shape of every constant; names and weights are not.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

MADE_WITH = {"torch": "2.13.0", "onnx": "1.23.2", "onnxscript": "0.7.2"}
"""Other versions trace other graphs."""

DIGESTS = {
    "squeezenet1_1": "23513d94c7fa8a2f",
    "tiny_darknet": "008efb4715fc9d71",
    "unsee_small": "bb19acb24b1ca02b",
    "resnet18": "8b99df00bc1f9a9d",
    "vgg16": "7e1b6ce8f184c64e",
    "vgg_s": "0cb5d92b1e29021d",
    "promoter": "1e34fd10c5c45707",
    "attentional": "997763e1707d1df0",
}


def graph_digest(path: Path) -> str:
    """Return the digest of an ONNX file, 16 hexadecimal digits."""
    graph = onnx.load(path).graph
    constants = {one.name: (one.data_type, list(one.dims)) for one in graph.initializer}
    numbers: dict[str, tuple[int, object]] = {}

    def number(name: str) -> tuple[int, object]:
        """Number a value where it comes up first: the order of constants in a file is chance."""
        return numbers.setdefault(name, (len(numbers), constants.get(name)))

    digest = hashlib.sha256(repr([number(value.name) for value in graph.input]).encode())
    for node in graph.node:
        attributes = sorted((item.name, _value(item)) for item in node.attribute)
        connections = [[number(name) for name in names] for names in (node.input, node.output)]
        digest.update(repr((node.op_type, attributes, connections)).encode())
    digest.update(repr([number(value.name) for value in graph.output]).encode())
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
