"""Small promoters and attentional networks as checkpoints, and mappers that need none, for the tests."""

from pathlib import Path

import numpy as np
import torch

from unsee.export.runtime.mapper import Mapper
from unsee.tests.runners import FunctionRunner
from unsee.train.networks.maps.mapper_metadata import AttentionalOptions, Kind, MapMetadata, PromoterOptions
from unsee.train.networks.maps.mappers import PixelMapper, build_map_network, save_map_network
from unsee.train.networks.maps.promoter import AnchorNetwork
from unsee.train.networks.metadata import InputSpec

SIZE = 32
SPEC = InputSpec(size=SIZE, channel_order="BGR", range=255.0, mean=(104, 117, 123), std=(60, 60, 60))
PROMOTER = PromoterOptions(8, 16, grid=2, iterations=2)
ATTENTIONAL = AttentionalOptions((16, 8, 8, 8), 8, block=100)
SMALL = {
    "promoter": MapMetadata("promoter", "paper", "squeezenet1_1", SPEC, PROMOTER),
    "attentional": MapMetadata("attentional", "default", "squeezenet1_1", SPEC, ATTENTIONAL),
}


def mapper(metadata: MapMetadata) -> PixelMapper:
    """Return a network with random weights in eval mode; normalisation, attention and distances tell pixels apart."""
    torch.manual_seed(0)
    network = build_map_network(metadata).eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.running_mean is not None:
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)  # pyright: ignore[reportArgumentType]
        if hasattr(layer, "gamma"):
            torch.nn.init.constant_(layer.gamma, 0.5)
        if isinstance(layer, AnchorNetwork):
            layer.pixels[-1].weight.mul_(12)
            layer.regions[-1].weight.mul_(12)
    return network


def map_checkpoint(directory: Path, kind: Kind) -> Path:
    """Write a small checkpoint of a kind and return its directory."""
    save_map_network(directory, mapper(SMALL[kind]), SMALL[kind])
    return directory


def random_priors(count: int, seed: int = 0) -> np.ndarray:
    """Return random maps, float32 [count,SIZE,SIZE] in steps of 1/255."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE)).astype(np.float32) / 255


class MixingMapper(Mapper):
    """Promotes to the mean of the prior and the image's red: a promoter without a network."""

    def __init__(self, size: int = SIZE) -> None:
        metadata = MapMetadata("promoter", "release", "unsee_small", InputSpec(size=size), PromoterOptions())
        super().__init__(FunctionRunner(), "mixing", metadata)

    def _maps(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return (inputs["image"][:, :1] / 255 + inputs["prior"]) / 2
