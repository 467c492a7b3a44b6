"""The forward pass of any classifier as a graph of functional operators, before it is differentiated."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...errors import UnseeError, first_line
from ...terminal import quieted
from ..forms.resizes import RESIZES, resize_matrices
from ..forms.rewrites import drop_checks

aten = torch.ops.aten

EXAMPLE_BATCH = 2


def functional_forward(network: nn.Module, size: int) -> fx.GraphModule:
    """Return a network's forward pass, pixels [B,3,size,size] to tensors, without operators in place.

    Every spelling of an operator (`silu`, `silu_`, a module of it) becomes the same; what autograd would do awkwardly is
    written as plain arithmetic (`FORWARD`). network: in eval mode. Raises `UnseeError` where it cannot be exported as one
    graph for every batch size.
    """
    example = torch.rand(EXAMPLE_BATCH, 3, size, size)
    batch = torch.export.Dim("batch", min=1)
    with _plain_attention(), _without_dumps():
        try:
            program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
            graph = program.run_decompositions({**FORWARD}).module(check_guards=False)
        except UnseeError:
            raise
        except Exception as error:  # torch.export has dozens of its own
            raise UnseeError(
                f"the network cannot be exported as one graph: {type(error).__name__}: {first_line(error)}"
            ) from error
    assert isinstance(graph, fx.GraphModule)
    drop_checks(graph.graph)
    _multiply_instead_of_resizing(graph)
    graph.recompile()
    return graph.requires_grad_(False)


@contextmanager
def _without_dumps() -> Iterator[None]:
    """Keep PyTorch from printing the graph of a network that it cannot export: what it raises says why."""
    with quieted("torch.fx.experimental.symbolic_shapes"), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Have attention computed by products and a softmax, not by a fused operator that has no adjoint here."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _multiply_instead_of_resizing(graph: fx.GraphModule) -> None:
    """Write resizes as products with fixed matrices: PyTorch's own gradients of them are scatters."""
    resizes = [node for node in graph.graph.nodes if node.target in RESIZES]
    for index, node in enumerate(resizes):
        image: Any = node.args[0]
        values = image.meta["val"]
        matrices = resize_matrices(node.target, values, node.meta["val"], node.args)
        with graph.graph.inserting_before(node):
            for side, matrix in zip(("rows", "columns"), matrices, strict=True):
                graph.register_buffer(f"resize_{index}_{side}", matrix.to(values.dtype))
            rows, columns = (graph.graph.get_attr(f"resize_{index}_{side}") for side in ("rows", "columns"))
            stretched = graph.graph.call_function(torch.matmul, (rows, image))
            product = graph.graph.call_function(torch.matmul, (stretched, graph.graph.call_method("t", (columns,))))
        product.meta.update(node.meta)
        node.replace_all_uses_with(product)
        graph.graph.erase_node(node)


def _linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear layer over the last axis as one product of matrices: others fix the batch on non-contiguous input."""
    flat = values if values.ndim == 2 else values.reshape(math.prod(values.shape[:-1]), values.shape[-1])
    product = torch.mm(flat, weight.t()) if bias is None else torch.addmm(bias, flat, weight.t())
    return product if values.ndim == 2 else product.reshape(*values.shape[:-1], weight.shape[0])


def _adaptive_average(image: Tensor, size: list[Any]) -> Tensor:
    wanted = [image.shape[2 + axis] if side is None else side for axis, side in enumerate(size)]
    if wanted == [1, 1]:
        return image.mean((-2, -1), keepdim=True)
    return aten._adaptive_avg_pool2d(image.contiguous(), wanted)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if dropout or enable_gqa:
        raise UnseeError("attention with dropout, or with fewer keys than queries, has no form here")
    weights = torch.matmul(query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale), key.transpose(-2, -1))
    if causal:
        weights = weights + torch.full(weights.shape[-2:], -math.inf, dtype=weights.dtype).triu(1)
    if mask is not None:
        weights = torch.where(mask, weights, -math.inf) if mask.dtype == torch.bool else weights + mask
    return torch.matmul(torch.softmax(weights, -1), value)


def _average_over_channels(
    image: Tensor,
    kernel: list[int],
    stride: list[int] | None = None,
    padding: list[int] | int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Tensor:
    """The pool [B,1,C,H,W] that local response normalisation takes the mean of neighbouring channels by: a sum of slices."""
    count, *sides = kernel
    steps, pads = set(stride or kernel), {padding} if isinstance(padding, int) else set(padding)
    if sides != [1, 1] or steps != {1} or pads != {0} or ceil_mode or not count_include_pad:
        raise UnseeError("pools of volumes have no form here, only those of local response normalisation")
    left = image.shape[2] - count + 1
    total = image.narrow(2, 0, left)
    for start in range(1, count):
        total = total + image.narrow(2, start, left)
    return total / (divisor or count)


def _adaptive_maximum(image: Tensor, size: list[int]) -> tuple[Tensor, Tensor]:
    """An adaptive max pool whose windows are all alike, as a plain one."""
    sides = [int(side) for side in image.shape[2:]]
    if any(side % wanted for side, wanted in zip(sides, size, strict=True)):
        raise UnseeError(
            f"an adaptive max pool of {sides} to {list(size)} has windows of several sizes and no form here"
        )
    kernel = [side // wanted for side, wanted in zip(sides, size, strict=True)]
    return aten.max_pool2d_with_indices(image, kernel, kernel)


def _instance_norm(
    image: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    use_input: bool,
    _momentum: float,
    epsilon: float,
    _cudnn: bool,
) -> Tensor:
    """Normalisation of every channel of every image by itself: a group norm whose groups are the channels."""
    if not use_input:
        return aten.batch_norm(image, weight, bias, mean, variance, False, 0.0, epsilon, False)
    return functional.group_norm(image, image.shape[1], weight, bias, epsilon)


FORWARD: dict[Any, Callable[..., Any]] = {
    aten.silu.default: lambda values: values * torch.sigmoid(values),
    aten.mish.default: lambda values: values * torch.tanh(functional.softplus(values)),
    aten.linear.default: _linear,
    aten.adaptive_avg_pool2d.default: _adaptive_average,
    aten.scaled_dot_product_attention.default: _attention,
    aten.avg_pool3d.default: _average_over_channels,
    aten.adaptive_max_pool2d.default: _adaptive_maximum,
    aten.instance_norm.default: _instance_norm,
}
"""Operators of the forward pass that are written otherwise, before it is differentiated."""
