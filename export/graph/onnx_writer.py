"""Writing a graph as an ONNX file of standard operators that ONNX Runtime and TensorRT both take."""

import hashlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import torch

from ...errors import UnseeError
from ...files import atomic_path
from ...terminal import quieted
from ..bundles.graphs import OPSET

SLOW_RULES = ("SlicesSplit",)
"""Of the optimiser; this one makes one operator of two slices of the last axis."""
WEIGHTS_SUFFIX = ".weights"
LARGEST_FILE = 1 << 30
"""Bytes of weights in an ONNX file; where there are more, they lie in a file beside it."""
SMALLEST_MOVED = 1024
ALIGNMENT = 4096
"""Of weights in a file of their own, so that they can be mapped into memory."""

TENSORRT_OPERATORS = frozenset(
    """Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Constant
    ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Div Einsum Elu Equal Erf Exp Expand Flatten
    Floor Gather GatherElements Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity
    IsNaN LRN LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mul Neg Not Or PRelu Pad Pow
    Range ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Sinh Slice Softmax Softplus SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tan Tanh Tile Transpose Unsqueeze Where""".split()
)
"""Operators that TensorRT's parser has taken since version 8.4 (onnx-tensorrt, docs/operators.md).

The scatters and GatherND are on its list too but not here: where a graph needs one, it is badly written.
"""


def write_graph(
    program: torch.export.ExportedProgram,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    properties: Mapping[str, str],
) -> None:
    """Write an exported program to an ONNX file, checked; `properties` become its metadata."""
    model = to_onnx(program, inputs, outputs)
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)
    if _bytes_of_weights(model) > LARGEST_FILE:
        _move_weights(model, path.with_suffix(WEIGHTS_SUFFIX))
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        check(temporary)


def _bytes_of_weights(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _move_weights(model: onnx.ModelProto, path: Path) -> None:
    """Put the weights of a model into a file beside it: no message of protobuf may have 2 GiB."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for tensor in model.graph.initializer:
            size = len(tensor.raw_data)
            if size < SMALLEST_MOVED:
                continue
            offset = file.tell()
            file.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", path.name), ("offset", offset), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
            file.write(bytes(-file.tell() % ALIGNMENT))


def to_onnx(program: torch.export.ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """Return an exported program as an ONNX model whose batch dimension is called `batch`."""
    with _quiet(), _without_slow_rules():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _strip_traces(model)
    _share_initializers(model)
    _name_batch(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress and its warnings on operators of packages that are not installed."""
    with quieted("torch.onnx"), redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@contextmanager
def _without_slow_rules() -> Iterator[None]:
    """Keep the exporter's optimiser from looking at every pair of nodes: that takes most of a transformer's export."""
    from onnxscript import rewriter

    rules = rewriter._DEFAULT_REWRITE_RULES
    rewriter._DEFAULT_REWRITE_RULES = tuple(rule for rule in rules if rule.name not in SLOW_RULES)
    try:
        yield
    finally:
        rewriter._DEFAULT_REWRITE_RULES = rules


def check(path: Path) -> None:
    """Raise `UnseeError` on a file that holds an operator outside `TENSORRT_OPERATORS` or is no valid ONNX."""
    model = onnx.load(path, load_external_data=False)
    foreign = {node.op_type for node in model.graph.node if node.domain or node.op_type not in TENSORRT_OPERATORS}
    if foreign:
        raise UnseeError(f"the exported graph holds operators that TensorRT lacks: {', '.join(sorted(foreign))}")
    for node in model.graph.node:
        if node.op_type == "MaxPool" and len(node.output) > 1:
            raise UnseeError(f"{node.name}: MaxPool with indices, which TensorRT lacks")
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UnseeError(f"the exported graph is not valid ONNX: {error}") from error


def _strip_traces(model: onnx.ModelProto) -> None:
    """Remove notes that the exporter leaves on every node and value: they hold paths of the exporting machine."""
    graph = model.graph
    for item in [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph]:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    del model.metadata_props[:]
    del graph.value_info[:]
    del model.functions[:]


def _share_initializers(model: onnx.ModelProto) -> None:
    """Keep one of several equal weights, and none that nobody reads."""
    graph = model.graph
    first: dict[tuple[Any, ...], str] = {}
    renamed = {tensor.name: first.setdefault(_identity(tensor), tensor.name) for tensor in graph.initializer}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _identity(tensor: onnx.TensorProto) -> tuple[Any, ...]:
    values = onnx.numpy_helper.to_array(tensor)
    return str(values.dtype), values.shape, hashlib.sha256(values.tobytes()).digest()


def _name_batch(model: onnx.ModelProto) -> None:
    """Call the only symbolic dimension `batch` on all inputs and outputs."""
    for value in [*model.graph.input, *model.graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = "batch"
