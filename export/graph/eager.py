"""Eager PyTorch as a runner: what exports are measured against, and what runs where nothing else is installed."""

import copy
from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor

from ...train.networks.checkpoints import Classifier
from ...train.networks.identity import fingerprint
from ...train.networks.maps.mapper_metadata import with_iterations
from ...train.networks.maps.mappers import LoadedMapNetwork, build_map_network, load_map_network
from ...train.networks.maps.mappers import fingerprint as map_fingerprint
from ..bundles.attribution_contents import AttributionContents
from ..bundles.descent_config import DescentConfig, Precision
from ..bundles.descent_contents import step_graph
from ..bundles.map_contents import MapContents
from ..runtime.descender import Descender
from ..runtime.mapper import Mapper
from ..runtime.model_info import ModelInfo
from ..runtime.precision import RunPrecision, full_precision, network_precision
from ..runtime.pytorch.torch_runner import TorchRunner, torch_device
from .layers import Tapped, activation_map, over_pixels
from .step import FROM_LOGITS, build_step, pixel_classifier


def eager_descender(
    classifier: Classifier,
    config: DescentConfig,
    device: str = "cpu",
    channels_last: bool = True,
    precision: str = "fp32",
    compiled: bool = False,
) -> Descender:
    """Return a classifier's descender in PyTorch.

    precision: one of `RunPrecision`, of which auto is chosen by `network_precision`, or of `Precision`. compiled: see
    `TorchRunner`.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    place, spec = torch_device(device), classifier.metadata.input
    if precision in get_args(RunPrecision):
        precision = network_precision(precision, place.type == "cuda")
    layers = cast(Precision, "fp32" if precision == "tf32" else precision)
    network = pixel_classifier(classifier, layers).to(place, memory_format=layout)  # pyright: ignore[reportCallIssue]
    step = build_step(network, config, scaled=precision == "fp16")
    graph = step_graph(spec.size, len(classifier.labels))
    dtype = torch.float64 if precision == "fp64" else torch.float32
    runner = TorchRunner(step, graph, place, dtype, layout, "torch-compile" if compiled else "torch", precision)
    info = ModelInfo(
        fingerprint(classifier),
        classifier.labels,
        spec.size,
        runner.backend,
        runner.device,
        classifier.metadata.names_classes,
        runner.precision,
    )
    return Descender(runner, info, config)


def eager_attribution(
    classifier: Classifier, contents: AttributionContents, device: str = "cpu", precision: Precision = "fp32"
) -> TorchRunner:
    """Return the runner of a classifier's gradient or class activation maps, by autograd and a hook on the layer."""
    place, pixels_to_logits = torch_device(device), pixel_classifier(classifier, precision)
    network = Tapped(pixels_to_logits, contents.layer) if contents.layer else pixels_to_logits
    network = network.to(place)

    def differentiate(image: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            pixels = image.requires_grad_()
            if contents.kind == "gradient":
                logits = network(pixels)
                return logits.detach(), torch.autograd.grad(logits, pixels, given)[0]
            logits, values = network(pixels)
            target = torch.where(given == FROM_LOGITS, logits.argmax(1), given)
            (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), values)
        return logits.detach(), activation_map(values.detach(), gradient, contents.kind)

    dtype = torch.float64 if precision == "fp64" else torch.float32
    return TorchRunner(differentiate, contents.graph, place, dtype, torch.contiguous_format)


def cam_size(classifier: Classifier, layer: str) -> tuple[int, int]:
    """Return height and width of a layer's output; `UnseeError` where it is no map, or there is no such layer."""
    network, size = Tapped(pixel_classifier(classifier), layer), classifier.metadata.input.size
    with torch.no_grad():
        _, values = network(torch.zeros(1, 3, size, size))
    height, width = over_pixels(values).shape[2:]
    return int(height), int(width)


def eager_mapper(
    loaded: LoadedMapNetwork, device: str = "cpu", dtype: torch.dtype = torch.float32, precision: str = "auto"
) -> Mapper:
    """Return a network's mapper in PyTorch; dtype: float32, or float64 to measure the rounding of all others."""
    place = torch_device(device)
    precision = full_precision(precision, place.type == "cuda", "a map network")
    mapper = copy.deepcopy(loaded.mapper).eval().requires_grad_(False)  # `to` would change the caller's
    mapper = mapper.to(place, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    runner = TorchRunner(mapper, MapContents(loaded.metadata).graph, place, dtype, precision=precision)
    return Mapper(runner, map_fingerprint(loaded), loaded.metadata)


def load_with_iterations(directory: Path, iterations: int | None = None) -> LoadedMapNetwork:
    """Load a checkpoint; a promoter makes so many passes, its own number where None."""
    loaded = load_map_network(directory)
    metadata = with_iterations(loaded.metadata, iterations)
    if metadata == loaded.metadata:
        return loaded
    mapper = build_map_network(metadata)
    mapper.load_state_dict(loaded.mapper.state_dict())
    return LoadedMapNetwork(mapper.eval().requires_grad_(False), metadata)
