"""The inputs and outputs of an ONNX file, as a bundle describes them."""

from pathlib import Path
from typing import Any


def tensors(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return name, type and shape of a graph's inputs and outputs; a shape holds the word `batch` for the batch size."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    return {"inputs": [described(value) for value in graph.input], "outputs": [described(v) for v in graph.output]}


def described(value: Any) -> dict[str, Any]:
    """Return name, type and shape of an `onnx.ValueInfoProto`: sides that are free by their names, or None.

    The type of what is no tensor of a known one is a word in brackets, its shape empty.
    """
    import onnx

    if value.type.WhichOneof("value") != "tensor_type":
        return {"name": value.name, "type": f"({value.type.WhichOneof('value') or 'no type'})", "shape": []}
    kind = value.type.tensor_type
    known = kind.elem_type != onnx.TensorProto.UNDEFINED
    return {
        "name": value.name,
        "type": str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)) if known else "(no type)",
        "shape": [
            dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or None
            for dimension in kind.shape.dim
        ],
    }
