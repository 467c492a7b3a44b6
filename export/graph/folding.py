"""Merging what inference does not need apart: batch normalisation into the convolution before it."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy in which every batch normalisation that directly follows a convolution is part of it.

    A convolution that is called more than once is left alone: what follows one of its calls does not follow the others.

    network: in eval mode. One that cannot be traced as a graph of modules comes back as it is: its batch
    normalisations are exported as a factor and a shift.
    """
    try:
        graph = fx.symbolic_trace(network)
    except (TraceError, TypeError):
        return network
    modules: dict[str, Any] = dict(graph.named_modules())
    nodes: list[Any] = list(graph.graph.nodes)
    calls = Counter(id(modules[node.target]) for node in nodes if node.op == "call_module")
    for node in nodes:
        if node.op != "call_module" or not _is_constant_norm(modules[node.target]):
            continue
        (before,) = node.all_input_nodes
        layer = modules[before.target] if before.op == "call_module" else None
        if isinstance(layer, nn.Conv2d) and len(before.users) == 1 and calls[id(layer)] == 1:
            graph.set_submodule(before.target, _folded(modules[before.target], modules[node.target]))
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph.eval().requires_grad_(False)


def _is_constant_norm(module: nn.Module) -> bool:
    """Whether a module normalises by numbers that do not depend on the batch."""
    return isinstance(module, nn.BatchNorm2d) and module.running_mean is not None


@torch.no_grad()
def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the merged convolution, computed in double precision."""
    return fuse_conv_bn_eval(copy.deepcopy(convolution).double(), copy.deepcopy(norm).double()).float()
