"""Rewrites of a traced step that give the same numbers with less to move through memory."""

import operator
from typing import Any, TypeAlias

import torch
from torch import fx
from torch._ops import OpOverload

aten = torch.ops.aten

Node: TypeAlias = Any
"""An `fx.Node`: its arguments are typed as a union of everything, of which one member is always known here."""

GATES = {
    aten.threshold_backward.default: aten.relu.default,
    aten.leaky_relu_backward.default: aten.leaky_relu.default,
}
"""Backward operators that pass or scale a gradient by the sign of an activation, and their forward operators."""


def gate_before_unpooling(graph: fx.Graph) -> None:
    """Move the gate of a ReLU from behind a max pool's adjoint to before it.

    The adjoint puts a window's gradient where the window's maximum is, so the sign there is the sign of the pooled
    value, of which there are fewer. Expects PyTorch's own backward operators.
    """
    for node in _calls(graph, aten.max_pool2d_with_indices_backward.default):
        gates = _gates(node)
        if not gates:
            continue
        pool = node.args[-1].args[0]
        with graph.inserting_before(node):
            pooled = graph.call_function(_getitem, (pool, 0))
            gate = gates[0]
            gated = graph.call_function(gate.target, (node.args[0], pooled, *gate.args[2:]))
        node.replace_input_with(node.args[0], gated)
        for gate in gates:
            gate.replace_all_uses_with(gate.args[0])
            graph.erase_node(gate)
    graph.lint()


CHECKS = (aten._assert_tensor_metadata, aten._assert_async, aten._assert_scalar, aten.sym_constrain_range_for_size)
"""What PyTorch leaves in a graph to check types, shapes and values with."""


def drop_checks(graph: fx.Graph) -> None:
    """Remove checks: what is checked is the same for every image."""
    for node in reversed(list(graph.nodes)):
        if isinstance(node.target, OpOverload) and node.target.overloadpacket in CHECKS:
            graph.erase_node(node)
    graph.eliminate_dead_code()


def multiply_sides(graph: fx.Graph) -> None:
    """Count elements by multiplying sides, of which only that of the batch is free: ONNX has no count of a free shape."""
    for node in _calls(graph, aten.sym_numel.default):
        image = node.args[0]
        with graph.inserting_before(node):
            count = 1
            for axis, side in enumerate(image.meta["val"].shape):
                known = side if isinstance(side, int) else graph.call_function(aten.sym_size.int, (image, axis))
                count = known if count == 1 else graph.call_function(operator.mul, (count, known))
        node.replace_all_uses_with(count)
        graph.erase_node(node)


def reshape_instead_of_viewing(graph: fx.Graph) -> None:
    """Let a view copy where it must: an adjoint may hand on a gradient in another memory order than PyTorch's."""
    for target in (aten.view.default, aten._unsafe_view.default):
        for node in _calls(graph, target):
            node.target = aten.reshape.default


def _calls(graph: fx.Graph, target: OpOverload) -> list[Node]:
    return list(graph.find_nodes(op="call_function", target=target))


def _getitem(values: Any, index: int) -> Any:
    return values[index]


def _gates(unpooled: Node) -> list[Node]:
    """Return the gates that all of a pool's gradient goes through, if each is that of its part of the pool's input."""
    image = unpooled.args[1]
    parts = _parts(image)
    found: list[Node] = []
    for user in unpooled.users:
        whole = user.target in GATES
        if not whole and not _is_channel_slice(user):
            return []
        gates, activation = ([user], image) if whole else (list(user.users), parts.get(user.args[2]))
        if not gates or any(not _is_gate_of(gate, activation) for gate in gates):
            return []
        found += gates
    same = {(gate.target, gate.args[2:]) for gate in found}
    return found if len(same) == 1 else []


def _parts(image: Node) -> dict[int, Node]:
    """Return the concatenated parts of an image by their first channel."""
    if image.target is not aten.cat.default or image.args[1:] != (1,):
        return {}
    starts: dict[int, Node] = {}
    channel = 0
    for part in image.args[0]:
        starts[channel] = part
        channel += part.meta["val"].shape[1]
    return starts


def _is_gate_of(gate: Node, activation: Node | None) -> bool:
    """Say whether a node is the backward of the activation that made an image."""
    if activation is None or gate.target not in GATES or activation.target is not GATES[gate.target]:
        return False
    saved = gate.args[1]
    return saved is activation or saved is activation.args[0]


def _channel_slices(node: Node) -> list[Node]:
    """Return the slices of a node's channels; none where something else uses the node too."""
    users = list(node.users)
    return users if all(_is_channel_slice(user) for user in users) else []


def _is_channel_slice(node: Node) -> bool:
    return node.target is aten.slice.Tensor and node.args[1] == 1


def _replace(graph: fx.Graph, old: Node, new: Node) -> None:
    """Let a node that has the same value take the place of another."""
    new.meta.update(old.meta)
    old.replace_all_uses_with(new)
    graph.erase_node(old)


def split_convolutions(graph: fx.Graph) -> None:
    """Turn slices of a convolution's channels into convolutions with a part of its kernel.

    The gradient of a concatenation is such a slice, which would be one more copy.
    """
    for node in _calls(graph, aten.convolution.default):
        image, weight, bias, *rest = node.args
        slices = _channel_slices(node)
        if not slices or rest[-1] != 1 or bias is not None:
            continue
        for part in slices:
            with graph.inserting_before(part):
                kernel = graph.call_function(aten.slice.Tensor, (weight, 0, *part.args[2:4]))
                kernel.meta["val"] = weight.meta["val"][part.args[2] : part.args[3]]
                smaller = graph.call_function(aten.convolution.default, (image, kernel, None, *rest))
            _replace(graph, part, smaller)
        graph.erase_node(node)
    graph.lint()


def slice_before_transposing(graph: fx.Graph) -> None:
    """Slice channels while they are still the last axis, where max pools' adjoints leave them.

    A slice behind the transposition would keep ONNX Runtime from laying out its result for a convolution in one go.
    """
    for node in _calls(graph, aten.permute.default):
        image, order = node.args
        slices = _channel_slices(node)
        if not slices or list(order) != [0, 3, 1, 2]:
            continue
        for part in slices:
            with graph.inserting_before(part):
                cut = graph.call_function(aten.slice.Tensor, (image, 3, *part.args[2:]))
                cut.meta["val"] = part.meta["val"].permute(0, 2, 3, 1)
                transposed = graph.call_function(aten.permute.default, (cut, order))
            _replace(graph, part, transposed)
        graph.erase_node(node)
    graph.lint()


def broadcast_instead_of_expanding(graph: fx.Graph) -> None:
    """Let products broadcast what an average pool's adjoint spreads over the pixels and then divides."""
    for node in _calls(graph, aten.expand.default):
        for division in [user for user in node.users if user.target is aten.div.Scalar]:
            if not all(_is_product_of_full_size(user, division) for user in division.users):
                continue
            with graph.inserting_before(division):
                small = graph.call_function(aten.div.Scalar, (node.args[0], division.args[1]))
            small.meta["val"] = division.args[0].args[0].meta["val"]
            division.replace_all_uses_with(small)
            graph.erase_node(division)
    graph.lint()


def _is_product_of_full_size(node: Node, factor: Node) -> bool:
    """Say whether a node multiplies `factor` with something as large."""
    others = [argument for argument in node.args if argument is not factor]
    shape = factor.meta["val"].shape
    return (
        node.target is aten.mul.Tensor
        and len(others) == 1
        and isinstance(others[0], fx.Node)
        and others[0].meta["val"].shape == shape
    )
