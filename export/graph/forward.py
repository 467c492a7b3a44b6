"""The forward pass of any classifier as a graph of functional operators, before it is differentiated."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...errors import UnseeError
from .rewrites import drop_checks

aten = torch.ops.aten

EXAMPLE_BATCH = 2


def functional_forward(network: nn.Module, size: int) -> fx.GraphModule:
    """Return a network's forward pass, pixels [B,3,size,size] to logits [B,N], without operators in place.

    Every spelling of an operator (`silu`, `silu_`, a module of it) becomes the same; what autograd would do awkwardly is
    written as plain arithmetic (`FORWARD`). network: in eval mode; what it returns may be a tensor, or hold one under
    `logits` or alone. Raises `UnseeError` where the network cannot be exported as one graph for every batch size.
    """
    example = torch.rand(EXAMPLE_BATCH, 3, size, size)
    batch = torch.export.Dim("batch", min=1)
    with _plain_attention():
        try:
            program = torch.export.export(_Logits(network), (example,), dynamic_shapes=({0: batch},))
            graph = program.run_decompositions({**FORWARD}).module(check_guards=False)
        except UnseeError:
            raise
        except Exception as error:  # torch.export has dozens of its own
            raise UnseeError(f"the network cannot be exported as one graph: {_first_line(error)}") from error
    assert isinstance(graph, fx.GraphModule)
    drop_checks(graph.graph)
    graph.recompile()
    return graph.requires_grad_(False)


class _Logits(nn.Module):
    """A network whose output is the tensor of logits, wherever its own holds it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N]."""
        return logits_of(self.network(image))


def logits_of(output: Any) -> Tensor:
    """Return the logits in what a network returns: a tensor, an object with `.logits`, or the only tensor in it."""
    if isinstance(output, Tensor):
        return output
    found = getattr(output, "logits", None)
    if isinstance(found, Tensor):
        return found
    values = list(output.values()) if isinstance(output, Mapping) else output
    tensors = [one for one in values if isinstance(one, Tensor)] if isinstance(values, (list, tuple)) else []
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return output["logits"]
    if len(tensors) != 1:
        raise UnseeError(
            f"a classifier returns logits [B,N], or holds them under `logits`; this one returns a {type(output).__name__}"
        )
    return tensors[0]


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


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}"


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


FORWARD: dict[Any, Callable[..., Any]] = {
    aten.silu.default: lambda values: values * torch.sigmoid(values),
    aten.mish.default: lambda values: values * torch.tanh(functional.softplus(values)),
    aten.linear.default: _linear,
    aten.adaptive_avg_pool2d.default: _adaptive_average,
    aten.scaled_dot_product_attention.default: _attention,
}
"""Operators of the forward pass that are written otherwise, before it is differentiated."""
