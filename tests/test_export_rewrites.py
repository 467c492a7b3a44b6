"""Rewrites change where work is done, not the gradient."""

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from unsee.export.graph.tracing import trace


class Concatenated(nn.Module):
    """Two branches with ReLUs, concatenated and pooled, as in SqueezeNet."""

    def __init__(self, slope: float | None, second: nn.Module | None = None) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 3, padding=1)
        self.gate: nn.Module = nn.ReLU() if slope is None else nn.LeakyReLU(slope)
        self.second = second or self.gate

    def forward(self, image: Tensor) -> Tensor:
        joined = torch.cat([self.gate(self.left(image)), self.second(self.right(image))], 1)
        return functional.max_pool2d(joined, 3, 2, ceil_mode=True)


def traced(network: nn.Module, image: Tensor) -> fx.GraphModule:
    network.requires_grad_(False)
    return trace(lambda pixels, signal: torch.func.vjp(network, pixels)[1](signal)[0], (image, network(image)))


def assert_gradient_is_autograds(graph: fx.GraphModule, network: nn.Module, pixels: Tensor) -> None:
    """Compare on another batch size than the traced one."""
    signal = torch.randn_like(network(pixels))
    (expected,) = torch.autograd.grad(network(pixels.requires_grad_()), pixels, signal)
    torch.testing.assert_close(graph(pixels.detach(), signal), expected)


def sizes_of_gates(graph: fx.GraphModule) -> set[int]:
    """Widths of what is compared with zero."""
    gates = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.gt.Scalar)
    return {node.meta["val"].shape[-1] for node in gates}


@pytest.mark.parametrize("slope", [None, 0.1])
def test_gates_move_to_the_pooled_size(slope: float | None) -> None:
    torch.manual_seed(0)
    network, image = Concatenated(slope), torch.randn(5, 3, 13, 13)
    graph = traced(network, image)
    assert sizes_of_gates(graph) == {6}
    assert_gradient_is_autograds(graph, network, torch.randn(3, 3, 13, 13))


def test_gates_stay_where_one_branch_has_none() -> None:
    torch.manual_seed(0)
    network, image = Concatenated(None, nn.Identity()), torch.randn(5, 3, 13, 13)
    graph = traced(network, image)
    assert sizes_of_gates(graph) == {13}
    assert_gradient_is_autograds(graph, network, torch.randn(2, 3, 13, 13))


def test_gradient_of_a_concatenation_is_not_sliced() -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.squeeze = Concatenated(None), nn.Conv2d(10, 2, 1)

        def forward(self, image: Tensor) -> Tensor:
            joined = torch.cat([torch.relu(self.body.left(image)), torch.relu(self.body.right(image))], 1)
            return self.squeeze(joined)

    torch.manual_seed(0)
    graph = traced(Squeezed(), torch.randn(5, 3, 8, 8))
    assert not list(graph.graph.find_nodes(op="call_function", target=torch.ops.aten.slice.Tensor))


def test_channels_are_sliced_before_they_are_transposed() -> None:
    """Behind a pool of concatenated branches without a gate: slices take the adjoint's last axis."""
    torch.manual_seed(0)
    network, image = Concatenated(None, nn.Identity()), torch.randn(5, 3, 13, 13)
    graph = traced(network, image).graph
    slices = graph.find_nodes(op="call_function", target=torch.ops.aten.slice.Tensor)
    assert {node.args[2:] for node in slices if node.args[1] == 3} == {(0, 4), (4, 10)}
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.permute.default):
        if node.args[1] == [0, 3, 1, 2]:
            assert not any(user.target is torch.ops.aten.slice.Tensor for user in node.users)


def test_gradient_of_a_mean_is_broadcast() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    graph = traced(network, torch.randn(5, 3, 9, 9))
    assert not list(graph.graph.find_nodes(op="call_function", target=torch.ops.aten.expand.default))
    assert_gradient_is_autograds(graph, network, torch.randn(3, 3, 9, 9))


def test_gradient_of_a_bare_mean_stays_expanded() -> None:
    network = nn.AdaptiveAvgPool2d(1)
    graph = traced(network, torch.randn(5, 3, 4, 6))
    signal = torch.randn(2, 3, 1, 1)
    torch.testing.assert_close(graph(torch.zeros(2, 3, 4, 6), signal), (signal / 24).expand(2, 3, 4, 6))


def test_elements_of_a_free_batch_are_counted_by_sides() -> None:
    class Counting(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            count = image.permute(0, 2, 3, 1).numel() // (5 * 6 * 3)
            return image.reshape(count, -1).square()

    graph = traced(Counting(), torch.randn(5, 3, 5, 6))
    assert not list(graph.graph.find_nodes(op="call_function", target=torch.ops.aten.sym_numel.default))
    assert_gradient_is_autograds(graph, Counting(), torch.randn(2, 3, 5, 6))
