"""Map networks that a function of a user's code makes, as functions from pixels to maps."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import UnseeError
from ...files import digest_of, sha256_of
from ...train.networks.identity import source_files
from ...train.networks.input_choice import InputChoice
from ...train.networks.libraries.factories import made
from ...train.networks.maps.mapper_metadata import MapMetadata
from ...train.networks.maps.mappers import LoadedMapNetwork, PixelMapper
from ...train.networks.maps.network_input import Activation, NetworkChoice, NetworkInput, NetworkOptions
from ...train.networks.metadata import written_sides
from ..parity.synthetic import synthetic_images
from ..runtime.model_info import channels_first
from .specifications import Specification, are_of_a_map, module_specification, nothing_more


class ModuleMapper(PixelMapper):
    """A user's network on RGB pixels in 0..255: its input is made of them, and its output becomes a map."""

    def __init__(self, network: nn.Module, metadata: MapMetadata) -> None:
        super().__init__(cast(Any, network), metadata)
        assert isinstance(metadata.input, NetworkInput) and isinstance(metadata.options, NetworkOptions)
        self.spec, self.options = metadata.input, metadata.options

    def forward(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        """Return a map [B,1,S,S] in 0..1 of pixels [B,3,S,S]; there are no priors."""
        assert prior is None
        value = activated(self.raw(image), self.options.activation)
        height, width = self.spec.sides
        if value.shape[-2:] != (height, width):
            value = nn.functional.interpolate(value, (height, width), mode="bilinear", align_corners=False)
        if height != width:
            value = nn.functional.pad(value, (0, self.spec.size - width, 0, self.spec.size - height))
        return value.clamp(0, 1)

    def raw(self, image: Tensor) -> Tensor:
        """Return the values of the network's output, [B,1,h,w], of pixels [B,3,S,S], of which it sees the top left."""
        height, width = self.spec.sides
        if height != width:
            image = image[:, :, :height, :width]
        if self.spec.scale == "largest":
            image = image * (255 / image.amax((1, 2, 3), keepdim=True).clamp(min=1e-6))
        return self._map_of(self.network(self.preprocess(image)))

    def _map_of(self, output: Any) -> Tensor:
        """Return the output that is the map: the named one of a dict, or the first."""
        name, found = self.options.output, output
        if isinstance(found, dict):
            if name and name not in found:
                raise UnseeError(f"{self.metadata.backbone}: has no output {name!r}, but {', '.join(map(str, found))}")
            found = found[name] if name else next(iter(found.values()))
        while isinstance(found, (tuple, list)) and found:
            found = found[0]
        if not isinstance(found, Tensor):
            raise UnseeError(f"{self.metadata.backbone}: returns a {type(found).__name__}, not a map [B,1,H,W]")
        if found.ndim == 3:
            found = found[:, None]
        if found.ndim != 4 or found.shape[1] != 1 or not are_of_a_map(found.shape[2:], self.spec.sides):
            raise UnseeError(
                f"{self.metadata.backbone}: its output is {list(found.shape)} for images of "
                f"{written_sides(self.spec.sides)} (--input-size), not one map an image"
            )
        return found


def activated(value: Tensor, activation: Activation) -> Tensor:
    """Return values [B,1,h,w] after what they still need."""
    if activation in ("sigmoid", "sigmoid-minmax"):
        value = torch.sigmoid(value)
    if activation in ("minmax", "sigmoid-minmax"):
        low, high = (pick(value, (1, 2, 3), keepdim=True) for pick in (torch.amin, torch.amax))
        value = (value - low) / (high - low).clamp(min=1e-12)
    return value


def load_module(name: str, choice: InputChoice, network: NetworkChoice) -> LoadedMapNetwork:
    """Call `package.module:factory`, which returns a map network; it is put in eval mode, its parameters are frozen.

    choice, network: its input and output. Raises `UnseeError` where there is no such function, it makes no map of an image,
    or too little is said of it.
    """
    said = module_specification(name, choice, network)
    module = made(name).float().eval().requires_grad_(False)
    size = said.input.size
    with torch.no_grad():
        pixels = torch.from_numpy(channels_first(synthetic_images(size, 2)))
        values = _mapper(module, name, said, "none").raw(pixels)
    activation = said.activation or nothing_more(f"{name}: its output", float(values.min()), float(values.max()))
    mapper = _mapper(module, name, said, activation)
    return LoadedMapNetwork(mapper.eval(), mapper.metadata)


def _mapper(module: nn.Module, name: str, said: Specification, activation: Activation) -> ModuleMapper:
    sources = digest_of([sha256_of(path) for path in source_files(module)])
    options = NetworkOptions(activation, said.output or "")
    return ModuleMapper(module, MapMetadata("network", "default", name, said.input, options, {"sources": sources}))
