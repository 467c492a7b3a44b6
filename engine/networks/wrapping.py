"""Bundles of other people's map networks: verified on photographs, and made by name as they are run."""

from pathlib import Path

import numpy as np

from ...errors import UnseeError
from ...export.bundles.bundle import Bundle
from ...export.bundles.drafts import checked_target
from ...export.bundles.map_contents import MapContents
from ...export.graph.exporter import export, require_tools
from ...export.wrapping.network_files import is_network_file
from ...export.wrapping.wrapped_networks import looked_at
from ...train.networks.foreign_names import factory_of
from ...train.networks.input_choice import OWN_INPUT, InputChoice
from ...train.networks.maps.mapper_metadata import MapMetadata
from ...train.networks.maps.network_input import NO_CHOICE, NetworkChoice
from ...train.networks.model_names import model_name
from .model_exports import probe_images


def wrap(
    model: str | Path,
    bundle: str | Path,
    choice: InputChoice = OWN_INPUT,
    network: NetworkChoice = NO_CHOICE,
    probes: str | Path | None = None,
) -> Bundle[MapContents]:
    """Write the bundle of a map network that is not ours: of FILE.onnx without PyTorch, or of `package.module:factory`.

    choice, network: what it takes and gives, where its sidecar or the table of known networks does not say it. probes:
    photographs to verify it on against a plain script, or against PyTorch; synthetic images where None. Raises `UnseeError`
    naming the option that decides where the model does not fit, `VerificationError` where the bundle gives other maps.
    """
    name, directory = model_name(model), Path(bundle)
    if is_network_file(name):
        if Path(name).resolve().is_relative_to(directory.resolve()):
            raise UnseeError(f"{directory} holds the network itself: name another directory")
        checked_target(directory)
        wrapped = looked_at(name, choice, network)()
        return export(wrapped, directory, images=_probes(probes, wrapped.contents.metadata))
    if not factory_of(name):
        raise UnseeError(f"{name}: neither an ONNX file nor package.module:factory")
    require_tools()
    from ...export.graph.exportables import MapNetwork
    from ...export.wrapping.module_networks import load_module

    checked_target(directory)
    loaded = load_module(name, choice, network)
    return export(MapNetwork(loaded), directory, images=_probes(probes, loaded.metadata))


def _probes(photographs: str | Path | None, metadata: MapMetadata) -> np.ndarray | None:
    if photographs is None:
        return None
    return probe_images(str(photographs), metadata.input.size, resizing=metadata.resizing)
