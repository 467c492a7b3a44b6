"""Opening what a user names: a bundle as it is, a checkpoint in PyTorch or exported into the cache first."""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from ...errors import UnseeError
from ...export.bundles.bundle import Bundle, Contents, holds, is_bundle, read_bundle
from ...export.bundles.descent_config import DescentConfig
from ...export.bundles.descent_contents import DescentContents, has_constants
from ...export.bundles.map_contents import MapContents
from ...export.library.shipped_maps import shipped_bundle
from ...export.runtime.backends import TORCH_BACKENDS, can_export, check_backend, check_device
from ...export.runtime.descender import Descender
from ...export.runtime.driver import cuda_devices
from ...export.runtime.mapper import Mapper
from ...export.runtime.onnxruntime_lanes import resolved
from ...export.runtime.precision import layers_of, network_precision
from ...export.runtime.tensorrt.tensorrt_engine import tensorrt_device
from ...export.wrapping.network_files import is_network_file
from ...extras import require
from ...train.networks.foreign_names import factory_of
from ...train.networks.input_choice import OWN_INPUT, InputChoice
from ...train.networks.maps.mapper_metadata import read_map_metadata, with_iterations
from ...train.networks.maps.mapper_names import map_checkpoint
from ...train.networks.maps.network_input import NO_CHOICE, NetworkChoice
from ...train.networks.model_names import Found, find_classifier, model_name
from .method_config import MethodName

LOG = logging.getLogger("unsee")
Held = TypeVar("Held", bound=Contents)


def open_descender(
    model: str | Path,
    config: DescentConfig,
    device: str = "auto",
    backend: str = "auto",
    weights: str | None = None,
    choice: InputChoice | None = None,
    precision: str = "auto",
) -> Descender:
    """Open a bundle's directory, or a classifier (see `load_classifier`), to descend on its classes.

    backend: auto is the fastest that works here, for a classifier on a processor ONNX Runtime where it and what exports
    are installed, else PyTorch, compiled on a GPU; `Descender.info` says what was chosen. ONNX Runtime takes the bundle that
    came with a shipped classifier, or exports it into the cache first (see `cached_bundle`). precision: see `RunPrecision`.
    Raises `DeviceUnavailableError` where the device or backend asked for cannot be used: there is no silent fallback;
    `UnseeError` on other words, and where a bundle's graph was exported with other constants than those of `config`.
    """
    model = model_name(model)
    check_device(device)
    check_backend(backend)
    _refuse_missing_file(model)
    if is_network_file(model):
        raise UnseeError(f"{model}: an ONNX file holds no classifier that can be descended on: use --method network")
    if is_bundle(model) and weights is None:
        if choice is not None and not choice.is_empty:
            raise UnseeError(f"{model} is a bundle, whose input is in its graph: export the model again with another")
        return Descender.of_bundle(read_bundle(model, DescentContents), config, device, backend, precision=precision)
    if map_checkpoint(model):
        raise UnseeError(
            f"{model} holds no classifier: use --method attentional or student, or --promote for a promoter"
        )
    found = find_classifier(model, weights, choice)
    bundle = _bundle_of(found, config, device, backend, precision)
    if bundle:
        return Descender.of_bundle(bundle, config, device, backend, precision=precision)
    if found.checkpoint and is_bundle(found.checkpoint) and backend not in TORCH_BACKENDS:
        require("torch", "export", f"{model}, which is exported for preset best, with other constants")
    require("torch", "train", "running a classifier checkpoint")
    from ...export.graph.eager import eager_descender

    return eager_descender(found.load(), config, device, precision=precision, compiled=_compiles(device, backend))


def _compiles(device: str, backend: str) -> bool:
    """Say whether PyTorch compiles the descent: where asked for, and by itself on a GPU, where minutes are saved."""
    if backend == "auto":
        return device != "cpu" and bool(cuda_devices()) and find_spec("triton") is not None
    return backend == "torch-compile"


def _bundle_of(
    found: Found, config: DescentConfig, device: str, backend: str, precision: str
) -> Bundle[DescentContents] | None:
    """Return the bundle that a classifier runs as; None where it runs in PyTorch."""
    if backend in TORCH_BACKENDS or (backend == "auto" and prefers_torch(device)):
        return None
    if backend == "aot":
        raise UnseeError(f"backend aot runs bundles, and {found.name} is none: export it with --aot first")
    layers = layers_of(network_precision(precision, on_cuda(device, backend)))
    if found.checkpoint and is_bundle(found.checkpoint):
        shipped = read_bundle(found.checkpoint, DescentContents)
        fits = shipped.precision == layers or (precision == "auto" and not can_export())
        if fits and has_constants(shipped.contents, config):
            return shipped
    if backend == "auto" and not can_export():
        return None
    from ...export.library.cache import cached_bundle

    try:
        return cached_bundle(found, config, layers)
    except UnseeError as error:
        if backend != "auto":
            raise
        found.load()  # raises where PyTorch could not run it either
        LOG.warning("%s cannot run in ONNX Runtime, so it runs in PyTorch, more slowly: %s", found.name, error)
        return None


def on_cuda(device: str, backend: str) -> bool:
    """Say whether a bundle would run on a GPU; `DeviceUnavailableError` where it cannot run on the device at all."""
    if backend == "tensorrt":
        return tensorrt_device(device).is_cuda
    runtime = require("onnxruntime", "cpu", "running a bundle")
    return resolved(runtime, device, "ort-tensorrt" if backend == "ort-tensorrt" else "onnxruntime").is_cuda


def prefers_torch(device: str) -> bool:
    """Say whether PyTorch is the fastest that works: on a GPU that it sees, and where ONNX Runtime is not installed."""
    if find_spec("torch") is None:
        return False
    if find_spec("onnxruntime") is None:
        return True
    if device == "cpu" or not cuda_devices():
        return False
    import torch

    return torch.cuda.is_available()


def open_mapper(
    model: str | Path,
    device: str = "auto",
    backend: str = "auto",
    iterations: int | None = None,
    precision: str = "auto",
    choice: InputChoice = OWN_INPUT,
    network: NetworkChoice = NO_CHOICE,
) -> Mapper:
    """Open a checkpoint or a bundle of a map network, an ONNX file of anybody's, or what a function of a user's makes.

    backend: auto is ONNX Runtime for a bundle and, on a processor, for a student; eager PyTorch for other checkpoints.
    iterations: passes T of a promoter, the checkpoint's own where None; a bundle has them in its graph. choice, network: of
    anybody's network, what is not said of it elsewhere. Raises
    `DeviceUnavailableError` where the device or backend asked for cannot be used: there is no silent fallback; `UnseeError`
    on any other model.
    """
    model = model_name(model)
    check_device(device)
    check_backend(backend)
    if is_network(model):
        return _open_network(model, device, backend, precision, choice, network)
    if not (choice.is_empty and network.is_empty):
        raise UnseeError(
            f"{model} has an input of its own: input options are for an ONNX file or package.module:factory"
        )
    if is_bundle(model):
        bundle = read_bundle(model, MapContents)
        metadata = bundle.contents.metadata
        if iterations is not None and with_iterations(metadata, iterations) != metadata:
            raise UnseeError(
                f"{model}: exported with another number of iterations: export the checkpoint with {iterations}"
            )
        return Mapper.of_bundle(bundle, device, backend, precision=precision)
    checkpoint = map_checkpoint(model)
    _refuse_missing_file(model)
    if checkpoint is None:
        raise UnseeError(f"{model} is neither the checkpoint nor a bundle of a map network")
    if backend == "torch-compile":
        raise UnseeError(
            f"{model}: backend torch-compile runs descents only: use torch, or a backend that runs bundles"
        )
    bundle = _map_bundle_of(checkpoint, device, backend, iterations)
    if bundle:
        return Mapper.of_bundle(bundle, device, backend, precision=precision)
    require("torch", "train", "running a checkpoint")
    from ...export.graph.eager import eager_mapper, load_with_iterations

    return eager_mapper(load_with_iterations(checkpoint, iterations), device, precision=precision)


def _refuse_missing_file(model: str) -> None:
    """Raise `UnseeError` where an ONNX file is named that is not there."""
    if model.lower().endswith(".onnx") and not Path(model).exists():
        raise UnseeError(f"{model}: no such file")


def is_network(model: str) -> bool:
    """Say whether a model is a network file, or a function of a user's that makes a network."""
    return is_network_file(model) or (factory_of(model) is not None and not Path(model).exists())


def _open_network(
    model: str, device: str, backend: str, precision: str, choice: InputChoice, network: NetworkChoice
) -> Mapper:
    if is_network_file(model):
        if backend in TORCH_BACKENDS:
            raise UnseeError(f"{model} is an ONNX file, which PyTorch does not run: use another backend")
        from ...export.wrapping.wrapped_networks import cached_network

        return Mapper.of_bundle(cached_network(model, choice, network), device, backend, precision=precision)
    require("torch", "train", "running a network of a module")
    from ...export.library.cache import cached_loaded
    from ...export.wrapping.module_networks import load_module

    loaded = load_module(model, choice, network)
    if backend in TORCH_BACKENDS or (backend == "auto" and (prefers_torch(device) or not can_export())):
        from ...export.graph.eager import eager_mapper

        return eager_mapper(loaded, device, precision=precision)
    return Mapper.of_bundle(cached_loaded(loaded), device, backend, precision=precision)


def _map_bundle_of(checkpoint: Path, device: str, backend: str, iterations: int | None) -> Bundle[MapContents] | None:
    """Return the bundle that a map network's checkpoint runs as; None where it runs in PyTorch."""
    if backend in TORCH_BACKENDS or (backend == "auto" and prefers_torch(device)):
        return None
    shipped = shipped_bundle(checkpoint)
    if shipped:
        return shipped
    is_fast = backend != "auto" or (can_export() and read_map_metadata(checkpoint).kind == "student")
    if not is_fast:
        return None
    require("torch", "train", "running a checkpoint")
    from ...export.library.cache import cached_map_bundle

    return cached_map_bundle(str(checkpoint), iterations)


def method_for(method: MethodName, model: str) -> MethodName:
    """Return the method that a model is for: that of a map network's kind where the default was left, else `method`."""
    if method != "b":
        return method
    if is_network_file(model):
        return "network"
    checkpoint = map_checkpoint(model)
    if checkpoint:
        kind = read_map_metadata(checkpoint).kind
    elif holds(model, MapContents):
        kind = read_bundle(model, MapContents).contents.metadata.kind
    else:
        return method
    return "attentional" if kind == "promoter" else kind  # which says what promoters are for
