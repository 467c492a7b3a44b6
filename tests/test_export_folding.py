"""Folding changes where a normalisation is computed, not what a network computes, nor its gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from unsee.export.forms.folding import fold_batch_norms
from unsee.export.graph.forward import functional_forward
from unsee.tests.export_models import classifier

aten = torch.ops.aten


class Shared(nn.Module):
    """One convolution, called twice, before two normalisations; and one that is called once."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.own = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))
        for norm in self.norms:
            nn.init.uniform_(norm.running_var, 0.5, 2)  # pyright: ignore[reportArgumentType]
            nn.init.normal_(norm.running_mean)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        first = torch.relu(self.norms[0](self.shared(image)))
        second = torch.relu(self.norms[1](self.shared(first)))
        return self.norms[2](self.own(second)).flatten(1)


def folded(network: nn.Module, size: int) -> tuple[int, int, Callable[[Tensor], Tensor]]:
    """Return how many normalisations were folded and left in the graph of a network's gradient, and that graph."""
    forward = functional_forward(network.eval().requires_grad_(False), size)
    gradient = torch.func.grad(lambda image: forward(image).square().sum())
    graph = fx.experimental.proxy_tensor.make_fx(gradient)(torch.randn(2, 3, size, size))
    graph.graph.eliminate_dead_code()
    count = fold_batch_norms(graph.graph)
    graph.recompile()
    left = [
        node for node in graph.graph.nodes if "batch_norm" in str(node.target) and "backward" not in str(node.target)
    ]
    return count, len(left), graph


def expected(network: nn.Module, image: Tensor) -> Tensor:
    return torch.func.grad(lambda pixels: network(pixels).square().sum())(image)


def test_each_call_of_a_shared_convolution_is_folded_with_its_own_normalisation() -> None:
    torch.manual_seed(0)
    network = Shared().eval().requires_grad_(False)
    count, left, graph = folded(network, 9)
    assert (count, left) == (3, 0)
    image = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(graph(image), expected(network, image), rtol=1e-4, atol=1e-5)


def test_all_normalisations_of_a_resnet_are_folded() -> None:
    network = classifier("resnet18").module
    count, left, graph = folded(network, 67)
    assert (count, left) == (20, 0)
    image = torch.randn(2, 3, 67, 67)
    torch.testing.assert_close(graph(image), expected(network, image), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),  # by the batch
        (nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU()),  # follows no convolution
        (nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)),
    ],
    ids=["by the batch", "first", "transposed"],
)
def test_what_cannot_be_folded_is_left_alone(layers: tuple[nn.Module, ...]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*layers, nn.Flatten()).eval().requires_grad_(False)
    count, _, graph = folded(network, 5)
    assert count == 0
    image = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(graph(image), expected(network, image), rtol=1e-4, atol=1e-5)
