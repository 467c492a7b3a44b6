"""Folding changes where a normalisation is computed, not what a network computes."""

import torch
from torch import Tensor, nn

from unsee.export.graph.folding import fold_batch_norms


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
        return self.norms[2](self.own(second))


def test_a_convolution_that_is_called_twice_is_left_alone() -> None:
    torch.manual_seed(0)
    network = Shared().eval().requires_grad_(False)
    folded = fold_batch_norms(network)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 2
    image = torch.randn(2, 3, 9, 7)
    torch.testing.assert_close(folded(image), network(image))
    gradients = [torch.func.grad(lambda pixels, of=one: of(pixels).sum())(image) for one in (network, folded)]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_normalisation_by_the_batch_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    image = torch.randn(3, 3, 5, 5)
    torch.testing.assert_close(fold_batch_norms(network)(image), network(image))
