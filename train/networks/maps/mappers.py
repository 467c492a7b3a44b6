"""Promoters, attentional networks and students as functions from pixels to maps, and their checkpoints (no pickles)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ....errors import UnseeError
from ....files import write_json
from ..checkpoints import matched_weights, read_weights, write_weights
from ..metadata import MODEL_FILE, WEIGHTS_FILE
from ..model_names import load_classifier
from ..preprocessing import Preprocessing
from .attentional import AttentionalNetwork
from .mapper_metadata import (
    AttentionalOptions,
    BackboneName,
    MapMetadata,
    PromoterOptions,
    StudentOptions,
    is_map_checkpoint,
    read_map_metadata,
)
from .promoter import AnchorNetwork
from .student import StudentNetwork
from .student_backbones import start_backbone

__all__ = [
    "LoadedMapNetwork",
    "MapMetadata",
    "PixelMapper",
    "build_map_network",
    "fingerprint",
    "is_map_checkpoint",
    "load_map_network",
    "save_map_network",
]


Network = AnchorNetwork | AttentionalNetwork | StudentNetwork


class PixelMapper(nn.Module):
    """A map network on RGB pixels in 0..255; preprocessing is part of it.

    Square inputs of the side that the metadata gives, any batch size; no result depends on batch mates.
    """

    def __init__(self, network: Network, metadata: MapMetadata) -> None:
        super().__init__()
        self.network, self.metadata = network, metadata
        self.preprocess = Preprocessing(metadata.input)

    def forward(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Return a map [B,1,S,S] in 0..1 of pixels [B,3,S,S]; a promoter needs a prior [B,1,S,S] in 0..1."""
        image = self.preprocess(image)
        if isinstance(self.network, AttentionalNetwork):
            return torch.sigmoid(self.network(image)[0])
        if isinstance(self.network, StudentNetwork):
            return torch.sigmoid(self.network(image))
        if prior is None:
            raise UnseeError("a promoter needs a prior map beside the image")
        return self.network.promote(image, prior)


@dataclass(frozen=True)
class LoadedMapNetwork:
    """A network in eval mode with frozen parameters, and its description."""

    mapper: PixelMapper
    metadata: MapMetadata


def build_map_network(metadata: MapMetadata) -> PixelMapper:
    """Build the network that a description calls for, with random weights."""
    backbone = cast(BackboneName, metadata.backbone)
    match metadata.options:
        case PromoterOptions() as options:
            network: Network = AnchorNetwork(backbone, metadata.preset, options)
        case AttentionalOptions() as options:
            network = AttentionalNetwork(backbone, options)
        case StudentOptions() as options:
            network = StudentNetwork(metadata.backbone, options)
        case _:
            raise UnseeError(f"{metadata.backbone}: a network of other people's is no checkpoint")
    return PixelMapper(network, metadata)


def save_map_network(
    directory: Path, mapper: PixelMapper, metadata: MapMetadata, dtype: torch.dtype = torch.float32
) -> None:
    """Write a checkpoint directory: model.json, written last, and weights.safetensors in `dtype`, without what is frozen."""
    directory.mkdir(parents=True, exist_ok=True)
    own = mapper.network.head if metadata.frozen else mapper.network
    write_weights(directory / WEIGHTS_FILE, own, dtype)  # pyright: ignore[reportArgumentType]
    write_json(directory / MODEL_FILE, metadata.to_json())


def load_map_network(directory: Path) -> LoadedMapNetwork:
    """Load a checkpoint directory; `UnseeError` names what is missing, malformed or does not fit."""
    metadata = read_map_metadata(directory)
    mapper = build_map_network(metadata)
    own = mapper.network
    if isinstance(mapper.network, StudentNetwork) and metadata.frozen:
        start_backbone(mapper.network.backbone, load_classifier(metadata.frozen))
        own = mapper.network.head
    tensors = read_weights(directory / WEIGHTS_FILE)
    own.load_state_dict(matched_weights(tensors, own.state_dict(), f"this {metadata.kind}"))
    return LoadedMapNetwork(mapper.eval().requires_grad_(False), metadata)


def fingerprint(loaded: LoadedMapNetwork) -> str:
    """Return `kind-digest`; the digest covers preset, backbone, input, constants, a user's code, every parameter's bytes."""
    metadata = loaded.metadata
    digest = hashlib.sha256(repr((metadata.preset, metadata.backbone, metadata.input, metadata.options)).encode())
    digest.update(str(metadata.provenance.get("sources", "")).encode())
    for name, tensor in sorted(loaded.mapper.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{metadata.kind}-{digest.hexdigest()[:12]}"
