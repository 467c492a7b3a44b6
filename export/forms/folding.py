"""Merging what inference does not need apart: batch normalisation into the convolution before it, in the traced graph."""

import operator
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

EPSILON_AT = {aten.native_batch_norm.default: 7, aten._native_batch_norm_legit_no_training.default: 6}
"""Batch normalisations, and where their epsilon stands."""

Node = Any
"""An `fx.Node`: its arguments are typed as a union of everything, of which one member is always known here."""


def fold_batch_norms(graph: fx.Graph) -> int:
    """Make every batch normalisation that alone follows a convolution part of it, backwards too; return how many.

    A convolution whose output something else reads, or whose kernel another call shares a gradient with, is left alone.
    Expects PyTorch's own operators; kernels are merged in double precision.
    """
    constants = _constants(graph)
    count = 0
    for norm in [node for node in graph.nodes if node.target in EPSILON_AT]:
        convolution = norm.args[0]
        if _is_constant_norm(norm, constants) and _is_foldable(convolution, constants):
            pairs = _backward_pairs(norm, convolution)
            if pairs is not None:
                _fold(graph, norm, convolution, pairs, constants)
                count += 1
    graph.eliminate_dead_code()
    graph.lint()
    return count


def _constants(graph: fx.Graph) -> set[Node]:
    """The nodes whose values depend on parameters only."""
    found: set[Node] = set()
    for node in graph.nodes:
        parents = node.all_input_nodes
        if node.op == "get_attr" or (node.op == "call_function" and parents and all(one in found for one in parents)):
            found.add(node)
    return found


def _is_constant_norm(norm: Node, constants: set[Node]) -> bool:
    """Whether a node normalises by numbers that do not depend on the batch."""
    if norm.target is aten.native_batch_norm.default and norm.args[5]:
        return False
    given = [one for one in norm.args[1:5] if isinstance(one, fx.Node)]
    return norm.args[3] is not None and all(one in constants for one in given)


def _is_foldable(node: Node, constants: set[Node]) -> bool:
    if not isinstance(node, fx.Node) or node.target is not aten.convolution.default or node.args[6]:
        return False
    return node.args[1] in constants and (node.args[2] is None or node.args[2] in constants)


def _backward_pairs(norm: Node, convolution: Node) -> list[tuple[Node, Node]] | None:
    """Return the backward nodes of the norm and of the convolution behind it, None where anything else is in between."""
    pairs: list[tuple[Node, Node]] = []
    for user in convolution.users:
        if user is norm:
            continue
        if user.target is not aten.native_batch_norm_backward.default or user.args[1] is not convolution:
            return None
        if not _same(user.args[2], norm.args[1]) or not _same(user.args[4], norm.args[4]):
            return None
        for part in user.users:
            if part.target is not operator.getitem or part.args[1] != 0:
                return None
            for behind in part.users:
                wanted = aten.convolution_backward.default
                if (
                    behind.target is not wanted
                    or behind.args[0] is not part
                    or not _same(behind.args[2], convolution.args[1])
                ):
                    return None
                pairs.append((user, behind))
    return pairs


def _same(one: Any, other: Any) -> bool:
    """Whether two nodes are the same, or read the same parameter."""
    if one is other:
        return True
    both = isinstance(one, fx.Node) and isinstance(other, fx.Node)
    return both and one.op == other.op == "get_attr" and one.target == other.target


def _fold(graph: fx.Graph, norm: Node, convolution: Node, pairs: list[tuple[Node, Node]], constants: set[Node]) -> None:
    image, kernel, bias, *rest = convolution.args
    epsilon = norm.args[EPSILON_AT[norm.target]]

    def call(function: Any, *arguments: Any, **named: Any) -> Node:
        made = graph.call_function(function, arguments, named)
        constants.add(made)
        return made

    def double(node: Any) -> Node:
        copied = graph.node_copy(node) if node.op == "get_attr" else node
        constants.add(copied)
        return call(aten._to_copy.default, copied, dtype=torch.float64)

    def single(node: Node) -> Node:
        return call(aten._to_copy.default, node, dtype=kernel.meta["val"].dtype)

    with graph.inserting_before(convolution):
        gamma, beta, mean, variance = (None if one is None else double(one) for one in norm.args[1:5])
        scale = call(aten.rsqrt.default, call(aten.add.Scalar, variance, epsilon))
        scale = scale if gamma is None else call(aten.mul.Tensor, scale, gamma)
        centre = mean if bias is None else call(aten.sub.Tensor, mean, double(bias))
        shift = call(aten.neg.default, call(aten.mul.Tensor, centre, scale))
        shift = shift if beta is None else call(aten.add.Tensor, shift, beta)
        sides = [-1] + [1] * (kernel.meta["val"].ndim - 1)
        merged = single(call(aten.mul.Tensor, double(kernel), call(aten.reshape.default, scale, sides)))
        merged.meta["val"] = kernel.meta["val"]
        convolution.args = (image, merged, single(shift), *rest)
    for backward, behind in pairs:
        arguments = list(behind.args)
        arguments[0], arguments[2] = backward.args[0], merged
        behind.args = tuple(arguments)
    for user in list(norm.users):
        if user.target is operator.getitem and user.args[1] == 0:
            user.replace_all_uses_with(convolution)
