"""Opening what a user names: a bundle as it is, a checkpoint in PyTorch or exported into the cache first."""

from pathlib import Path

from ...errors import UnseeError
from ...export.bundles.bundle import holds, is_bundle, read_bundle
from ...export.bundles.descent_config import DescentConfig
from ...export.bundles.descent_contents import DescentContents
from ...export.bundles.map_contents import MapContents
from ...export.runtime.backends import BUNDLE_BACKENDS, check_backend, check_device
from ...export.runtime.descender import Descender
from ...export.runtime.mapper import Mapper
from ...extras import require
from ...train.networks.maps.mapper_metadata import is_map_checkpoint, with_iterations
from ...train.networks.model_names import load_classifier, model_name


def open_descender(
    model: str | Path, config: DescentConfig, device: str = "auto", backend: str = "auto", weights: str | None = None
) -> Descender:
    """Open a bundle's directory, or a checkpoint (see `load_classifier`), to descend on its classes.

    backend: auto is ONNX Runtime for a bundle and eager PyTorch for a checkpoint; `Descender.info` says what was chosen. A
    backend that runs bundles exports a checkpoint into the cache first (see `cached_bundle`).
    Raises `DeviceUnavailableError` where the device or backend asked for cannot be used: there is no silent fallback;
    `UnseeError` on other words, and where a bundle's graph was exported with other constants than those of `config`.
    """
    model = model_name(model)
    check_device(device)
    check_backend(backend)
    if is_bundle(model):
        return Descender.of_bundle(read_bundle(model, DescentContents), config, device, backend)
    if is_map_checkpoint(model):
        raise UnseeError(f"{model} holds no classifier: use --method attentional, or --promote for a promoter")
    require("torch", "train", "running a classifier checkpoint")
    if backend in BUNDLE_BACKENDS:
        from ...export.graph.cache import cached_bundle

        return Descender.of_bundle(cached_bundle(model, config, weights), config, device, backend)
    from ...export.graph.eager import eager_descender

    return eager_descender(load_classifier(model, weights), config, device, compiled=backend == "torch-compile")


def open_mapper(
    model: str | Path, device: str = "auto", backend: str = "auto", iterations: int | None = None
) -> Mapper:
    """Open a checkpoint or a bundle of a promoter or an attentional network.

    backend: see `open_descender`. iterations: passes T of a promoter, the checkpoint's own where None; a bundle has them
    in its graph. Raises `DeviceUnavailableError` where the device or backend asked for cannot be used: there is no silent
    fallback; `UnseeError` on any other model.
    """
    model = model_name(model)
    check_device(device)
    check_backend(backend)
    if is_bundle(model):
        bundle = read_bundle(model, MapContents)
        metadata = bundle.contents.metadata
        if iterations is not None and with_iterations(metadata, iterations) != metadata:
            raise UnseeError(
                f"{model}: exported with another number of iterations: export the checkpoint with {iterations}"
            )
        return Mapper.of_bundle(bundle, device, backend)
    if not is_map_checkpoint(model):
        raise UnseeError(f"{model} is neither the checkpoint nor a bundle of a promoter or an attentional network")
    if backend == "torch-compile":
        raise UnseeError(
            f"{model}: backend torch-compile runs descents only: use torch, or a backend that runs bundles"
        )
    require("torch", "train", "running a checkpoint")
    if backend in BUNDLE_BACKENDS:
        from ...export.graph.cache import cached_map_bundle

        return Mapper.of_bundle(cached_map_bundle(model, iterations), device, backend)
    from ...export.graph.eager import eager_mapper, load_with_iterations

    return eager_mapper(load_with_iterations(Path(model), iterations), device)


def makes_maps(model: str | Path) -> bool:
    """Say whether a model is the checkpoint or a bundle of a promoter or an attentional network."""
    return is_map_checkpoint(model) or holds(model, MapContents)
