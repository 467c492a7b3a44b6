"""The Python interface: a detector turns images into saliency maps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from PIL import Image

from ..errors import UnseeError
from ..export.map_bundle import is_map_bundle
from ..export.map_sessions import open_map_session
from ..export.sessions import open_session
from ..train.map_metadata import is_map_checkpoint
from ..train.models import model_name
from ..train.pretrained import DEFAULT_NAME
from .bundles import bundle_preset
from .decoding import DecodedImage, DecodingConfig, DecodingError, decode, on_grid
from .detection import DIVERGED
from .map_methods import AttentionalMethod, Promoter
from .method import Method
from .methods import DescentMethod
from .pipeline import batched
from .presets import Preset, preset

ImageLike: TypeAlias = np.ndarray | Image.Image | str | Path


@dataclass(frozen=True)
class Saliency:
    """What a detector finds in one image.

    map: uint8 [H,W] at the image's size. label: name of the class that was unseen, None where there is no classifier.
    score: its probability in the original image. raw: float32 [S,S] in 0..1, the map on the last network's grid before
    any clean-up.
    """

    map: np.ndarray
    label: str | None
    score: float | None
    raw: np.ndarray


class Detector:
    """A model with a preset, loaded once.

    model: see `load_classifier`; or an attentional network, which has no preset. preset: a name or a `Preset`; None is a
    bundle's own, or `reference`. device: auto, cpu, cuda or cuda:N. promote: checkpoint or bundle of a promoter, which
    lifts the maps.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_NAME,
        preset: str | Preset | None = None,
        device: str = "auto",
        backend: str = "auto",
        batch_size: int = 16,
        promote: str | Path | None = None,
    ) -> None:
        if batch_size < 1:
            raise UnseeError(f"batch size must be at least 1, got {batch_size}")
        name = model_name(model)
        self.preset = _preset(preset) if preset else bundle_preset(name) or _preset("reference")
        self.method = self._opened(name, device, backend, batch_size)
        self.promoter = Promoter(open_map_session(promote, device, backend), batch_size) if promote else None
        promoter_size = self.promoter.info.input_size if self.promoter else None
        self.decoding = DecodingConfig(self.method.info.input_size, promoter_size=promoter_size)
        self.batch_size = batch_size

    def _opened(self, model: str, device: str, backend: str, batch_size: int) -> Method[Any]:
        if is_map_bundle(model) or is_map_checkpoint(model):
            return AttentionalMethod(open_map_session(model, device, backend), batch_size)
        session = open_session(model, self.preset.descent, device, backend)
        return DescentMethod(session, self.preset.post, batch_size)

    @overload
    def __call__(self, images: ImageLike) -> Saliency: ...

    @overload
    def __call__(self, images: Iterable[ImageLike]) -> list[Saliency]: ...

    def __call__(self, images: ImageLike | Iterable[ImageLike]) -> Saliency | list[Saliency]:
        """Return the saliency of one image, or a list for a batch.

        An image is a path, a PIL image, or an array uint8 [H,W,3] RGB; an array uint8 [B,H,W,3] is a batch. Raises
        `UnseeError` on anything else and on a file that cannot be decoded.
        """
        if isinstance(images, (str, Path, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 3):
            return next(self.stream([images]))
        return list(self.stream(images))

    def stream(self, images: Iterable[ImageLike]) -> Iterator[Saliency]:
        """Yield the saliency of every image in order, holding one batch at a time."""
        decoded = (self._decoded(image) for image in images)
        for batch in batched(decoded, self.batch_size):
            yield from self._batch(batch)

    def _batch(self, batch: list[DecodedImage]) -> Iterator[Saliency]:
        pixels = np.stack([image.pixels for image in batch])
        found = self.method.detections(self.method.compute(pixels), pixels)
        if self.promoter:
            found = self.promoter.promoted(found, np.stack([image.promoter_pixels for image in batch]))  # pyright: ignore
        for image, detection in zip(batch, found, strict=True):
            if detection is None:
                raise UnseeError(DIVERGED)
            full = detection.resized(image.width, image.height)
            yield Saliency(full, detection.label, detection.score, detection.raw)

    def _decoded(self, image: ImageLike) -> DecodedImage:
        if isinstance(image, (str, Path)):
            return _decoded_file(Path(image), self.decoding)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise UnseeError(f"an array must be uint8 [H,W,3], got {image.dtype} {list(image.shape)}")
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise UnseeError(f"expected a path, a PIL image or an array, got {type(image).__name__}")
        return on_grid(image, self.decoding)


def _preset(choice: str | Preset) -> Preset:
    return preset(choice) if isinstance(choice, str) else choice


def _decoded_file(path: Path, config: DecodingConfig) -> DecodedImage:
    try:
        return decode(path.read_bytes(), config)
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except DecodingError as error:
        raise UnseeError(f"{path}: {error}") from None
