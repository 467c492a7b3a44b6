"""Other people's networks as bundles: looked at, put into a graph of ours, and verified against a plain script."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ...extras import require
from ...files import digest_of, sha256_of
from ...train.networks.input_choice import OWN_INPUT, InputChoice
from ...train.networks.maps.mapper_metadata import MapMetadata
from ...train.networks.maps.network_input import NO_CHOICE, Activation, NetworkChoice, NetworkOptions
from ..bundles.bundle import Bundle
from ..bundles.map_contents import IMAGE, MapContents
from ..graph.exporter import Exportable
from ..library.cache import cached, short_name
from ..parity.map_parity import MapProbe, plain_probe
from ..parity.synthetic import synthetic_images
from ..runtime.memory import is_out_of_memory
from ..runtime.model_info import channels_first
from .network_files import NetworkFile, Output, read_network
from .plain_networks import PlainNetwork, quiet_session
from .specifications import Specification, nothing_more, specification
from .wrapped_graphs import wrapped, write_model

LOG = logging.getLogger("unsee")
PACKAGES = {"onnx": "networks", "onnxruntime": "cpu"}
TRIED = 2
"""Images that a network is tried on."""
LARGEST_DIFFERENCE = 1 / 255
"""Between maps of images that are alone in a batch and of the same in one, where a graph takes batches."""


class WrappedNetwork(Exportable[MapContents]):
    """A network file that can become a bundle."""

    def __init__(self, file: NetworkFile, said: Specification) -> None:
        self.file, self.said = file, said
        self.output: Output = file.output(said.output)
        self.plain = PlainNetwork(file, said.input, self.output)
        self.tried = synthetic_images(said.input.size, TRIED)
        values = self.plain.raw(self.tried)
        self.sides = values.shape[1], values.shape[2]
        what = f"{file.path}: its output {self.output.name}"
        self.activation: Activation = said.activation or nothing_more(what, float(values.min()), float(values.max()))
        options = NetworkOptions(self.activation, self.output.name)
        origin = {"file": file.path.name, "sha256": sha256_of(file.path)}
        metadata = MapMetadata("network", "default", file.path.stem, said.input, options, origin)
        self.contents = MapContents(metadata)
        self.precision = "fp16" if file.image.type == "float16" else "fp32"
        self.model_id = f"{short_name(file.path.stem)}-{digest_of([file.digest(), metadata.to_json()])[:12]}"
        self.opset, self.packages = file.opset, PACKAGES

    def write(self, directory: Path) -> None:
        """See `Exportable.write`: with a free batch where batches give what single images do, else for one at a time."""
        path = directory / self.contents.graph_file
        self._write(path, alone=False)
        if not self._takes_batches(path):
            LOG.info("%s: images go through it one at a time, the size of its batch is built in", self.file.path)
            self._write(path, alone=True)
            metadata = self.contents.metadata
            assert isinstance(metadata.options, NetworkOptions)
            self.contents = MapContents(replace(metadata, options=replace(metadata.options, alone=True)))

    def probe(self, images: np.ndarray) -> MapProbe:
        """See `Exportable.probe`: what the file itself makes of the images."""
        return plain_probe(images, lambda some: self.plain.maps(some, self.activation))

    def _write(self, path: Path, alone: bool) -> None:
        model = wrapped(self.file, self.said.input, self.output, self.sides, self.activation, alone)
        write_model(model, path, self.file.path)

    def _takes_batches(self, path: Path) -> bool:
        """Say whether a batch of two gives what each of its images gives alone."""
        import onnxruntime

        pixels = channels_first(self.tried)
        try:
            session = quiet_session(onnxruntime, path)
            together = np.asarray(session.run(None, {IMAGE: pixels})[0])
            singles = [np.asarray(session.run(None, {IMAGE: one[None]})[0]) for one in pixels]
        except Exception as error:  # the runtime's exceptions have no common class
            if is_out_of_memory(error):
                LOG.warning(
                    "%s: a batch of two found no memory here, so images go through one at a time", self.file.path
                )
                return False
            if type(error).__module__.startswith("onnxruntime"):
                return False
            raise
        alone = np.concatenate(singles)
        return together.shape == alone.shape and bool(np.abs(together - alone).max() <= LARGEST_DIFFERENCE)


def looked_at(
    path: str | Path, choice: InputChoice = OWN_INPUT, network: NetworkChoice = NO_CHOICE
) -> Callable[[], WrappedNetwork]:
    """Look at a network file, and return what tries it; `UnseeError` where it is no map network or too little is known."""
    return _looked_at(Path(path), choice, network)[2]


def cached_network(
    path: str, choice: InputChoice = OWN_INPUT, network: NetworkChoice = NO_CHOICE
) -> Bundle[MapContents]:
    """Return the bundle of a network file from the cache, wrapped first where it is not there."""
    file, said, opened = _looked_at(Path(path), choice, network)
    identity = digest_of([file.digest(), asdict(said), version("unsee")])[:12]
    return cached(f"{short_name(file.path.stem)}-{identity}", MapContents, opened)


def _looked_at(
    path: Path, choice: InputChoice, network: NetworkChoice
) -> tuple[NetworkFile, Specification, Callable[[], WrappedNetwork]]:
    require("onnx", "networks", "an ONNX file of another network")
    file = read_network(path)
    said = specification(file, choice, network)
    return file, said, lambda: WrappedNetwork(file, said)
