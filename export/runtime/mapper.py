"""Making maps with any runner of a map network's graph."""

import numpy as np

from ...errors import UnseeError
from ...train.networks.maps.mapper_metadata import MapMetadata
from ..bundles.bundle import Bundle
from ..bundles.map_contents import IMAGE, MAP, PRIOR, MapContents
from .model_info import ModelInfo, channels_first, check_images
from .runner import Runner, count_of, joined, open_runner, split


class Mapper:
    """A map network (promoter, attentional, student or anybody's) loaded on a device."""

    def __init__(self, runner: Runner, model_id: str, metadata: MapMetadata) -> None:
        self.info = ModelInfo(
            model_id,
            (),
            metadata.input.size,
            runner.backend,
            runner.device,
            precision=runner.precision,
            resizing=metadata.resizing,
        )
        self.runner, self.metadata = runner, metadata

    @classmethod
    def of_bundle(
        cls,
        bundle: Bundle[MapContents],
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
    ) -> "Mapper":
        """Open a bundle that has been read; see `open_runner`."""
        return cls(open_runner(bundle, device, backend, threads, precision), bundle.model_id, bundle.contents.metadata)

    @property
    def takes_priors(self) -> bool:
        """Whether this is a promoter, which needs a map of every image."""
        return self.metadata.kind == "promoter"

    def maps(self, images: np.ndarray, priors: np.ndarray | None = None) -> np.ndarray:
        """Return the map of each image, float32 [B,S,S] in 0..1, whatever its batch mates.

        images: uint8 [B,S,S,3], RGB. priors: float32 [B,S,S] in 0..1, the maps that a promoter promotes. Raises
        `UnseeError` on wrong shapes, and on priors that are missing or not wanted.
        """
        size = self.info.input_size
        check_images(images, size)
        if self.takes_priors != (priors is not None):
            raise UnseeError(
                f"{self.info.model_id} {'needs a map of every image' if priors is None else 'takes no maps'}"
            )
        if len(images) == 0:
            return np.zeros((0, size, size), np.float32)
        inputs = {IMAGE: channels_first(images)}
        if priors is not None:
            if priors.shape != images.shape[:3]:
                raise UnseeError(f"priors must be of shape {list(images.shape[:3])}, got {list(priors.shape)}")
            inputs[PRIOR] = np.ascontiguousarray(priors[:, None], np.float32)
        return self._maps(inputs)[:, 0]

    def close(self) -> None:
        """Give back threads and memory."""
        self.runner.close()

    def _maps(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return the maps, float32 [B,1,S,S], of a batch that is not empty, by the names of the graph's inputs."""
        if self.metadata.alone and self.runner.device != "cpu":
            count = count_of(inputs)
            return joined([self.runner.run(one) for one in split(inputs, count)])[MAP]
        return self.runner.run(inputs)[MAP]
