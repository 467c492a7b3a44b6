"""The convolutional parts of the classifiers as feature extractors: the output of every block, at rising stride."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..checkpoints import Classifier, matched_weights
from ..zoo import build_network
from .mapper_metadata import BackboneName


@dataclass(frozen=True)
class Plan:
    """taps: (index of the layer, channels, stride) of every block's output. pools: those that a dilated backbone drops."""

    taps: tuple[tuple[int, int, int], ...]
    pools: tuple[int, ...]


PLANS: dict[BackboneName, Plan] = {
    "vgg16": Plan(((3, 64, 1), (8, 128, 2), (15, 256, 4), (22, 512, 8), (29, 512, 16)), (16, 23)),
    "squeezenet1_1": Plan(((1, 64, 2), (4, 128, 4), (7, 256, 8), (12, 512, 16)), (8,)),
    "unsee_small": Plan(((2, 96, 4), (5, 192, 8), (9, 384, 16)), (6,)),
}


class Backbone(nn.Module):
    """`features` of a classifier of `networks.NETWORKS`, with its parameter names, up to the last block's output.

    dilated: drop the pools before the last blocks and dilate their convolutions instead, twice as much after each (spec
    3.4). finest: smallest stride of a block that is returned. taps: (channels, stride) of the blocks returned.
    """

    def __init__(self, name: BackboneName, dilated: bool, finest: int = 1) -> None:
        super().__init__()
        plan = PLANS[name]
        strides = _strides(plan, dilated)
        last = plan.taps[-1][0]
        with torch.device("meta"):  # spares the random values of the classifier's layers
            features: nn.Sequential = build_network(name, 1).features[: last + 1]  # pyright: ignore
        self.features = features.to_empty(device="cpu")
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
        if name == "squeezenet1_1":
            self.features[0].padding = (1, 1)  # pyright: ignore  # features of exactly half the input
        if dilated:
            _dilate(self.features, plan.pools)
        kept = [(tap[0], tap[1], stride) for tap, stride in zip(plan.taps, strides, strict=True) if stride >= finest]
        self.places = tuple(place for place, _, _ in kept)
        self.taps = tuple((channels, stride) for _, channels, stride in kept)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the blocks' outputs [B,C,S/stride,S/stride] of a preprocessed image [B,3,S,S], in the order of `taps`."""
        outputs = []
        for place, layer in enumerate(self.features):
            image = layer(image)
            if place in self.places:
                outputs.append(image)
        return outputs

    def start_from(self, classifier: Classifier) -> None:
        """Take over the weights of a classifier of the same network."""
        tensors = classifier.module.state_dict()
        expected = self.state_dict()
        kept = {name: tensor for name, tensor in tensors.items() if name in expected}
        self.load_state_dict(matched_weights(kept, expected, f"the backbone {classifier.metadata.network}"))


def _strides(plan: Plan, dilated: bool) -> list[int]:
    """Return the stride of every block's output."""
    dropped = plan.pools if dilated else ()
    return [stride >> sum(pool < place for pool in dropped) for place, _, stride in plan.taps]


def _dilate(features: nn.Sequential, pools: tuple[int, ...]) -> None:
    """Drop the pools and widen the 3x3 convolutions behind them, so that each sees as far as before."""
    for place, layer in enumerate(features):
        dilation = 2 ** sum(pool < place for pool in pools)
        if place in pools:
            features[place] = nn.Identity()
        for module in layer.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and dilation > 1:
                module.dilation = module.padding = (dilation, dilation)
