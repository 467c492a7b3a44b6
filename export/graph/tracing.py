"""From a classifier to one graph of the descent step, gradient included (design section 3)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._dynamo.source import ConstantSource
from torch._functorch.compile_utils import fx_graph_cse
from torch._ops import OpOverload
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from ...errors import UnseeError, first_line
from ..bundles.descent_config import DescentConfig
from ..forms.decompositions import decompositions
from ..forms.folding import fold_batch_norms
from ..forms.rewrites import (
    broadcast_instead_of_expanding,
    drop_checks,
    gate_before_unpooling,
    multiply_sides,
    reshape_instead_of_viewing,
    slice_before_transposing,
    split_convolutions,
)
from .forward import functional_forward
from .operators import has_onnx_form, origin
from .step import FROM_LOGITS, build_step

aten = torch.ops.aten

INPUTS = ("image", "reference", "target", "iteration", "step_size")
OUTPUTS = ("next_image", "next_reference", "next_target", "logits")
TRACED_BATCH = 5

VIEWS = {aten.t.default, aten.transpose.int, aten.permute.default, aten.unsqueeze.default, aten.detach.default}


def export_step(
    network: nn.Module, config: DescentConfig, size: int, classes: int, scaled: bool = False
) -> torch.export.ExportedProgram:
    """Return the descent step of `build_step` as an exported program with dynamic batch size.

    network: in eval mode with frozen parameters, RGB pixels [B,3,size,size] to logits [B,classes]. scaled: see
    `build_step`. Raises `UnseeError`
    naming the operator and its module where there is no adjoint for one.
    """
    inputs = example_inputs(size, classes)
    return exported(trace_step(network, config, size, classes, scaled), inputs)


def trace_step(
    network: nn.Module, config: DescentConfig, size: int, classes: int, scaled: bool = False
) -> fx.GraphModule:
    """Return the step as a graph of forward operators only, symbolic in the batch size and in nothing else."""
    forward = functional_forward(network, size)
    graph = traced(build_step(forward, config, scaled), forward, example_inputs(size, classes))
    check_live(graph, OUTPUTS)
    return graph


def exported(graph: fx.GraphModule, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """Return a traced graph as an exported program; the first dimension of every input that has one is the batch."""
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(graph, inputs, dynamic_shapes=[{0: batch} if one.ndim else None for one in inputs])


def traced(function: Callable[..., Any], forward: fx.GraphModule, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    """Return a function of tensors that differentiates `forward` as `trace` does, made of what ONNX has.

    Raises `UnseeError` naming the first operator that has no form there, and where in the network it comes from.
    """
    try:
        graph = trace(function, inputs)
    except UnseeError:
        raise
    except Exception as error:  # whatever an operator without a rule raises
        raise UnseeError(
            f"the network's gradient cannot be exported as one graph: {type(error).__name__}: {first_line(error)}"
        ) from error
    check_writable(graph, forward)
    return graph


def trace(function: Callable[..., Any], inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    """Return a function of tensors, gradients within it included, as a graph of forward operators.

    The first dimension of every input that has one is symbolic. What depends on parameters only is computed already.
    Raises `UnseeError` where the function fixes the size of the batch.
    """
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    fakes = [_fake(mode, index, tensor) for index, tensor in enumerate(inputs)]
    with mode, enable_python_dispatcher():
        graph = make_fx(torch.func.functionalize(function, remove="mutations"))(*fakes)
        graph.graph.eliminate_dead_code()
        fold_batch_norms(graph.graph)
        gate_before_unpooling(graph.graph)
        reshape_instead_of_viewing(graph.graph)
        graph.recompile()
        graph = make_fx(graph, decomposition_table=decompositions())(*fakes)
    drop_checks(graph.graph)
    multiply_sides(graph.graph)
    fixed = [str(symbol) for symbol, value in _shapes(mode).replacements.items() if value.is_number]
    if fixed:
        raise UnseeError("the network fixes the size of the batch: a shape in it is written as a number")
    graph = fx.GraphModule(graph, fx_graph_cse(graph.graph))
    split_convolutions(graph.graph)
    slice_before_transposing(graph.graph)
    broadcast_instead_of_expanding(graph.graph)
    _fold_constants(graph)
    graph.graph.eliminate_dead_code()
    return fx.GraphModule(graph, graph.graph)  # with the parameters that it reads, and no others


def _shapes(mode: FakeTensorMode) -> ShapeEnv:
    assert mode.shape_env is not None
    return mode.shape_env


def example_inputs(size: int, classes: int, batch: int = TRACED_BATCH) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return inputs of a step: random pixels, no reference, the top-1 as target, iteration 0, step size 1."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, size, size, generator=generator) * 255
    target = torch.full((batch,), FROM_LOGITS)
    return image, torch.zeros(batch, classes), target, torch.tensor(0), torch.tensor(1.0)


def _fake(mode: FakeTensorMode, index: int, tensor: Tensor) -> Tensor:
    kinds = [DimDynamic.DYNAMIC if axis == 0 else DimDynamic.STATIC for axis in range(tensor.ndim)]
    context = StatelessSymbolicContext(dynamic_sizes=kinds)
    return mode.from_tensor(tensor, symbolic_context=context, source=ConstantSource(f"input{index}"))


def check_writable(graph: fx.GraphModule, forward: fx.GraphModule) -> None:
    """Raise `UnseeError` naming the first operator that has no form in ONNX, and where in the network it comes from."""
    for node in graph.graph.nodes:
        if isinstance(node.target, OpOverload) and not has_onnx_form(node.target):
            raise UnseeError(f"cannot export operator {node.target}{origin(node.target, forward.graph)}")


def _fold_constants(graph: fx.GraphModule) -> None:
    """Compute what depends on parameters only, such as turned kernels.

    Mere views of a parameter stay operators, so that a matrix and its transpose are stored once.
    """
    values: dict[fx.Node, Tensor] = {}
    computed: set[fx.Node] = set()
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            values[node] = getattr(graph, node.target)
        elif node.op == "call_function" and isinstance(node.target, OpOverload) and _is_constant(node, values):
            values[node] = _evaluate(node, values)
            if node.target not in VIEWS or any(parent in computed for parent in node.all_input_nodes):
                computed.add(node)
    for index, node in enumerate(computed):
        _replace(graph, node, f"folded_{index}", values[node].contiguous())


def _is_constant(node: fx.Node, values: dict[fx.Node, Tensor]) -> bool:
    return all(parent in values for parent in node.all_input_nodes) and isinstance(node.meta.get("val"), Tensor)


def _evaluate(node: fx.Node, values: dict[fx.Node, Tensor]) -> Tensor:
    arguments = fx.map_arg((node.args, node.kwargs), lambda parent: values[parent])
    target: Callable[..., Tensor] = node.target  # pyright: ignore[reportAssignmentType]
    return target(*arguments[0], **arguments[1])  # pyright: ignore[reportGeneralTypeIssues, reportIndexIssue]


def _replace(graph: fx.GraphModule, node: fx.Node, name: str, value: Tensor) -> None:
    graph.register_buffer(name, value)
    with graph.graph.inserting_before(node):
        constant = graph.graph.get_attr(name)
    constant.meta.update(node.meta)
    node.replace_all_uses_with(constant)
    graph.graph.erase_node(node)


def check_live(graph: fx.GraphModule, outputs: Sequence[str], sources: int = 1) -> None:
    """Raise where an output depends on none of the first inputs, as many as `sources`: by itself the image.

    Tracing a gradient the wrong way gives a graph that runs and always answers with the traced image's gradient.
    """
    alive = set(list(graph.graph.find_nodes(op="placeholder"))[:sources])
    for node in graph.graph.nodes:
        if alive.intersection(node.all_input_nodes):
            alive.add(node)
    output = next(iter(graph.graph.find_nodes(op="output")))
    for name, value in zip(outputs, output.args[0], strict=True):
        if value not in alive:
            raise UnseeError(f"the traced output {name} does not depend on the image")
