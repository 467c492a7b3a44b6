"""The Python interface: a detector turns images into saliency maps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, overload

import numpy as np
from PIL import Image

from ..errors import UnseeError
from ..export.runtime.precision import RunPrecision
from ..images import MOST_PIXELS
from ..train.networks.input_choice import InputChoice
from ..train.networks.maps.network_input import NO_CHOICE, NetworkChoice
from ..train.networks.metadata import InputSpec
from ..train.networks.model_names import DEFAULT_NAME, model_name
from .cleanup.presets import Preset, default_preset, preset
from .decoding.color_modes import to_rgb
from .decoding.decoded_image import DecodedImage, DecodingConfig
from .decoding.decoding import whole_image
from .inputs.given_images import ImageLike, as_pil, decoded, is_one
from .methods.detection import DIVERGED, Detection, Failure, within_frames
from .methods.method_config import MethodConfig, MethodName, PromotionConfig
from .methods.methods import open_method
from .methods.models import method_for
from .methods.networks import Promoter
from .networks.given_networks import GivenModel, Labels
from .networks.model_exports import bundle_preset
from .saliency import Saliency
from .segmentation.objectness import judged
from .segmentation.segment_config import SegmentConfig
from .segmentation.segmenter import Segmenter

if TYPE_CHECKING:
    from torch import nn

OnItemError: TypeAlias = Literal["raise", "return"]


class FailedItemError(UnseeError):
    """One of the images given to a detector has no map.

    index: its place among the images, from 0. path: its file, None for an image that is no path. reason: why.
    """

    def __init__(self, index: int, path: str | None, reason: str) -> None:
        super().__init__(index, path, reason)
        self.index, self.path, self.reason = index, path, reason

    def __str__(self) -> str:
        named = f"{self.path}: " if self.path else ""
        return f"image {self.index}: {named}{self.reason}"


class Detector:
    """A method with its models, loaded once.

    model: see `load_classifier`, or a `torch.nn.Module` that makes logits; an attentional network, a student or an ONNX
    file is used by its method without being asked. input, labels: of a module, torchvision's usual input and numbers where
    None; PyTorch runs it unless `backend` names another, for which it is exported first; an `InputChoice` replaces parts of
    the input. preset: a name or a `Preset`; None is a bundle's own, or the method's. device: auto, cpu, cuda or cuda:N.
    promote: checkpoint or bundle of a promoter, which lifts the maps. method, weights, cnn2, cnn3: see `MethodConfig`.
    segment: how masks are made, and maps refined; None for neither. precision, mirror: see `MethodConfig`. network: of an
    ONNX file, what it gives. Also a context manager, which closes it.
    """

    def __init__(
        self,
        model: "str | Path | nn.Module" = DEFAULT_NAME,
        preset: str | Preset | None = None,
        device: str = "auto",
        backend: str = "auto",
        batch_size: int = 16,
        promote: str | Path | None = None,
        *,
        method: MethodName = "b",
        weights: str | Path | None = None,
        cnn2: str | Path | None = None,
        cnn3: str | Path | None = None,
        segment: SegmentConfig | None = None,
        input: InputSpec | InputChoice | None = None,
        labels: Labels | None = None,
        precision: RunPrecision = "auto",
        mirror: bool = False,
        network: NetworkChoice = NO_CHOICE,
    ) -> None:
        given = GivenModel.of(model, method, input, labels, network)
        name, method = given.name, method_for(method, given.name)
        config = MethodConfig(
            model=name,
            weights=_named(weights),
            method=method,
            input=given.choice,
            network=given.network,
            cnn2=_named(cnn2),
            cnn3=_named(cnn3),
            promotion=PromotionConfig(model_name(promote)) if promote else None,
            preset=_preset(preset or bundle_preset(name) or default_preset(method)),
            device=device,
            backend=backend,
            precision=precision,
            mirror=mirror,
            batch_size=batch_size,
        )
        self.preset, self.batch_size = config.preset, batch_size
        self.promoter = Promoter.opened(config)
        self.method = open_method(config, given.opener, self.promoter)
        if segment is not None and not isinstance(segment, SegmentConfig):
            raise UnseeError(f'segment is a SegmentConfig, as unsee.SegmentConfig("jaccard"), got {segment!r}')
        self.segmenter = Segmenter(segment or SegmentConfig())
        promoter_size = self.promoter.info.input_size if self.promoter else None
        info = self.method.info
        self.decoding = DecodingConfig(info.input_size, promoter_size=promoter_size, resizing=info.resizing)
        self._closed = False

    def close(self) -> None:
        """Give back threads and memory; what is asked for from here on is an `UnseeError`."""
        self._closed = True
        self.method.close()
        if self.promoter:
            self.promoter.close()

    def __enter__(self) -> "Detector":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def __call__(self, images: ImageLike, on_error: Literal["raise"] = ...) -> Saliency: ...

    @overload
    def __call__(self, images: Iterable[ImageLike], on_error: Literal["raise"] = ...) -> list[Saliency]: ...

    @overload
    def __call__(self, images: ImageLike, on_error: Literal["return"]) -> Saliency | FailedItemError: ...

    @overload
    def __call__(
        self, images: Iterable[ImageLike], on_error: Literal["return"]
    ) -> list[Saliency | FailedItemError]: ...

    def __call__(
        self, images: ImageLike | Iterable[ImageLike], on_error: OnItemError = "raise"
    ) -> Saliency | FailedItemError | list[Saliency] | list[Saliency | FailedItemError]:
        """Return the saliency of one image, or a list for a batch.

        An image is a path, the bytes of a file, a PIL image, an array [H,W] or [H,W,C] or a tensor [C,H,W], uint8 or float 0
        to 1, grey, RGB or RGBA; an array [B,H,W,C] or a tensor [B,C,H,W] is a batch. on_error: see `stream`.
        """
        if is_one(images):
            return next(self._results([images], on_error))
        return list(self._results(images, on_error))  # pyright: ignore[reportReturnType]  # no errors where they raise

    @overload
    def stream(self, images: Iterable[ImageLike], on_error: Literal["raise"] = ...) -> Iterator[Saliency]: ...

    @overload
    def stream(
        self, images: Iterable[ImageLike], on_error: Literal["return"]
    ) -> Iterator[Saliency | FailedItemError]: ...

    def stream(
        self, images: Iterable[ImageLike], on_error: OnItemError = "raise"
    ) -> Iterator[Saliency] | Iterator[Saliency | FailedItemError]:
        """Yield the saliency of every image in order, holding one batch at a time.

        on_error: an image without a map - no image, a file that cannot be decoded, a descent that diverged - raises its
        `FailedItemError` after the results of the images before it, or with `return` the error takes its place. What the
        iterable itself raises comes out after the results of the images before.
        """
        return self._results(images, on_error)

    def _results(self, images: Any, on_error: OnItemError) -> Iterator[Saliency | FailedItemError]:
        if self._closed:
            raise UnseeError("the detector is closed: make another one")
        if on_error not in get_args(OnItemError):
            raise UnseeError(f"on_error must be one of {get_args(OnItemError)}, got {on_error!r}")
        if not isinstance(images, Iterable) or isinstance(images, (str, bytes)):
            raise UnseeError(f"expected a path, a PIL image, an array, or several of them, got {type(images).__name__}")
        return self._delivered(images, on_error)

    def _delivered(self, images: Iterable[ImageLike], on_error: OnItemError) -> Iterator[Saliency | FailedItemError]:
        for batch, ending in _batches(self._items(images), self.batch_size, until_error=on_error == "raise"):
            for result in self._batch(batch):
                if on_error == "raise" and isinstance(result, FailedItemError):
                    raise result
                yield result
            if ending is not None:
                raise ending

    def _items(self, images: Iterable[ImageLike]) -> "Iterator[Item | FailedItemError]":
        for index, image in enumerate(images):
            path = str(image) if isinstance(image, (str, Path)) else None
            try:
                yield Item(index, path, decoded(image, self.decoding), image)
            except UnseeError as error:
                yield FailedItemError(index, path, str(error))

    def _batch(self, batch: "list[Item | FailedItemError]") -> Iterator[Saliency | FailedItemError]:
        """Yield what becomes of each item; those that are decoded go through the models together."""
        items = [item for item in batch if isinstance(item, Item)]
        found = iter(self._found(items) if items else [])
        for item in batch:
            if isinstance(item, FailedItemError):
                yield item
                continue
            detection, image = next(found), item.image
            if not isinstance(detection, Detection):
                yield FailedItemError(item.index, item.path, DIVERGED if detection is None else detection.message)
                continue
            full = detection.resized(image.width, image.height)
            mask = detection.resized_mask(image.width, image.height)
            assert detection.raw is not None  # see `MethodConfig.keeps_raw`
            yield Saliency(
                full,
                detection.label,
                detection.score,
                detection.raw,
                mask,
                detection.target,
                item.photograph,
                detection,
            )

    def _found(self, items: "list[Item]") -> list[Detection | Failure | None]:
        images = [item.image for item in items]
        pixels = np.stack([image.pixels for image in images])
        frames = [image.frame for image in images]
        found, shown = within_frames(self.method.detections(self.method.compute(pixels), pixels), pixels, frames)
        if self.promoter:
            pixels = np.stack([image.promoter_pixels for image in images])  # pyright: ignore
            found, shown = self.promoter.promoted(found, pixels), pixels
        names = [Path(item.path or "").stem for item in items]
        return self.segmenter.segmented(judged(found, shown), shown, names)


@dataclass(frozen=True)
class Item:
    """One of the images given to a detector, decoded."""

    index: int
    path: str | None
    image: DecodedImage
    given: ImageLike

    def photograph(self) -> Image.Image:
        """Read the image again at its full size, RGB and upright."""
        if self.path is None and not isinstance(self.given, bytes):
            return to_rgb(as_pil(self.given))
        data = self.given if isinstance(self.given, bytes) else Path(self.path or "").read_bytes()
        with whole_image(data, DecodingConfig(1, max_pixels=MOST_PIXELS)) as photograph:
            return photograph.copy()


def _batches(
    items: "Iterator[Item | FailedItemError]", size: int, until_error: bool
) -> "Iterator[tuple[list[Item | FailedItemError], Exception | None]]":
    """Yield batches of items, each with what ends the stream after it; until_error: a failed item ends its batch."""
    batch: list[Item | FailedItemError] = []
    while True:
        try:
            item = next(items)
        except StopIteration:
            yield batch, None
            return
        except Exception as error:  # the iterable's own: raised again once the images before it are done
            yield batch, error
            return
        batch.append(item)
        if len(batch) == size or (until_error and isinstance(item, FailedItemError)):
            yield batch, None
            batch = []


def _named(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _preset(choice: str | Preset) -> Preset:
    return preset(choice) if isinstance(choice, str) else choice
