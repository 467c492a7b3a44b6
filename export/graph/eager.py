"""Eager PyTorch as a runner: what exports are measured against, and what runs where nothing else is installed."""

import copy
from pathlib import Path

import torch

from ...train.networks.checkpoints import Classifier
from ...train.networks.maps.mapper_metadata import with_iterations
from ...train.networks.maps.mappers import LoadedMapNetwork, build_map_network, load_map_network
from ...train.networks.maps.mappers import fingerprint as map_fingerprint
from ...train.networks.model_names import fingerprint
from ..bundles.descent_config import DescentConfig, Precision
from ..bundles.descent_contents import step_graph
from ..bundles.map_contents import MapContents
from ..runtime.descender import Descender
from ..runtime.mapper import Mapper
from ..runtime.model_info import ModelInfo
from ..runtime.torch_runner import TorchRunner, torch_device
from .step import PixelClassifier, build_step


def eager_descender(
    classifier: Classifier,
    config: DescentConfig,
    device: str = "cpu",
    channels_last: bool = True,
    precision: Precision = "fp32",
    compiled: bool = False,
) -> Descender:
    """Return a classifier's descender in PyTorch; compiled: see `TorchRunner`."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    place, spec = torch_device(device), classifier.metadata.input
    module = copy.deepcopy(classifier.module)  # `to` would change the caller's
    network = PixelClassifier(module, spec, precision).eval().requires_grad_(False)
    network = network.to(place, memory_format=layout)  # pyright: ignore[reportCallIssue]
    step = build_step(network, config, scaled=precision == "fp16")
    graph = step_graph(spec.size, len(classifier.labels))
    dtype = torch.float64 if precision == "fp64" else torch.float32
    runner = TorchRunner(step, graph, place, dtype, layout, compiled)
    info = ModelInfo(
        fingerprint(classifier),
        classifier.labels,
        spec.size,
        runner.backend,
        runner.device,
        classifier.metadata.names_classes,
    )
    return Descender(runner, info, config)


def eager_mapper(loaded: LoadedMapNetwork, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Mapper:
    """Return a network's mapper in PyTorch; dtype: float32, or float64 to measure the rounding of all others."""
    place = torch_device(device)
    mapper = copy.deepcopy(loaded.mapper).eval().requires_grad_(False)  # `to` would change the caller's
    mapper = mapper.to(place, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    runner = TorchRunner(mapper, MapContents(loaded.metadata).graph, place, dtype)
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
