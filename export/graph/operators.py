"""Which operators have a form in ONNX, and where in a network one without comes from."""

import re
from functools import cache
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from ...terminal import quieted

SOURCE = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')


@cache
def _registry() -> Any:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with quieted("torch.onnx"):  # it warns of packages that are not installed
        return ONNXRegistry.from_torchlib()


@cache
def _decomposed() -> frozenset[Any]:
    """The operators that PyTorch's exporter takes apart itself."""
    return frozenset(torch.export.default_decompositions())


def has_onnx_form(operator: OpOverload) -> bool:
    """Say whether PyTorch's exporter writes an operator; those that are not of ATen are shapes."""
    known = operator.namespace not in ("aten", "prims") or _registry().is_registered(operator)
    return known or operator in _decomposed()


def origin(operator: OpOverload, forward: fx.Graph) -> str:
    """Return where in the forward pass an operator, or the one whose adjoint it is, comes from; empty where unknown."""
    name = operator.overloadpacket.__name__.removesuffix("_backward").removesuffix("_").lstrip("_")
    for node in forward.nodes:
        if isinstance(node.target, OpOverload) and node.target.overloadpacket.__name__.rstrip("_").lstrip("_") == name:
            return _place(node)
    return ""


def _place(node: fx.Node) -> str:
    modules = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = modules[-1] if modules else ("", "")
    path = str(path).removeprefix("L['self'].network").lstrip(".")
    shown = f" of module {path or 'the network'}" if modules else ""
    kind = str(getattr(kind, "__name__", kind)).rsplit(".", 1)[-1]
    lines = SOURCE.findall(node.meta.get("stack_trace") or "")
    line = f", {lines[-1][0]}:{lines[-1][1]}" if lines else ""
    return f"{shown}{f' ({kind})' if kind else ''}{line}"
