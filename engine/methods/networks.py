"""Maps from a network that makes them at once, maps that are given, and promoting the maps of any method (paper C)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import UnseeError
from ...export.runtime.mapper import Mapper
from ...kernels.eight_bits import to_levels
from ...resizing import Filter
from .batching import BatchedMethod, MapBatcher
from .detection import Detection
from .method import Method
from .method_config import CLASSIFIER_METHODS, MethodConfig
from .models import open_mapper


class Promoter:
    """Replaces finished maps by promoted ones, each image on its own."""

    def __init__(self, mapper: Mapper, batch_size: int | None = None) -> None:
        if not mapper.takes_priors:
            raise UnseeError(
                f"{mapper.info.model_id} makes maps and promotes none: use --method {mapper.metadata.kind}"
            )
        self.info = mapper.info
        self.batcher = MapBatcher(mapper, batch_size)

    @classmethod
    def opened(cls, config: MethodConfig) -> "Promoter | None":
        """Open the promoter of a configuration; None where it has none."""
        promotion = config.promotion
        if promotion is None:
            return None
        mapper = open_mapper(promotion.model, config.device, config.backend, promotion.iterations, _of_promoter(config))
        return cls(mapper, config.batch_size)

    def pad_batches(self) -> None:
        """See `Method.pad_batches`."""
        self.batcher.pads = True

    def close(self) -> None:
        """Give back what the model holds."""
        self.batcher.close()

    def promoted(self, found: list[Detection | None], images: np.ndarray) -> list[Detection | None]:
        """Return the detections of a batch with promoted maps, images uint8 [B,P,P,3] on the promoter's grid.

        A map is enlarged to that grid, scaled by nothing, and written as (255 Y) cut to an integer (spec 3.7).
        """
        size = self.info.input_size
        places = [place for place, detection in enumerate(found) if detection is not None]
        if not places:
            return found
        priors = np.stack([one.resized(size, size) for one in found if one is not None]).astype(np.float32) / 255
        result = list(found)
        for place, promoted in zip(places, self.batcher.maps(images[places], priors), strict=True):
            result[place] = _with_map(found[place], promoted)
        return result


def _of_promoter(config: MethodConfig) -> str:
    """Return the precision that a promoter is asked for: half precision is that of the classifier before it."""
    return "auto" if config.precision == "fp16" and config.method in CLASSIFIER_METHODS else config.precision


def _with_map(detection: Detection | None, promoted: np.ndarray) -> Detection | None:
    if detection is None or not np.isfinite(promoted).all():
        return None
    return replace(detection, saliency=cut_to_levels(promoted), raw=promoted, resample="bilinear")


class MapMethod(BatchedMethod[np.ndarray, MapBatcher]):
    """A network whose map is the finished one: an attentional network (paper D), a student, anybody's."""

    def __init__(self, mapper: Mapper, kind: str, batch_size: int | None) -> None:
        if mapper.takes_priors:
            raise UnseeError(f"{mapper.info.model_id} promotes maps and makes none: use --promote, or unsee promote")
        if mapper.metadata.kind != kind:
            found = mapper.metadata.kind
            raise UnseeError(f"{mapper.info.model_id} is of kind {found}, not {kind}: use --method {found}")
        self.info = mapper.info
        self.levels = cut_to_levels if kind == "network" else to_levels
        self.batcher = MapBatcher(mapper, batch_size)

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Make the maps, float32 [B,S,S] in 0..1."""
        return self.batcher.maps(images)

    def detections(self, computed: np.ndarray, images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Return the maps as they are; in levels those of other people's networks are cut, as their own code does."""
        return map_detections(computed, self.levels, self.info.resizing.resample)


def cut_to_levels(maps: np.ndarray) -> np.ndarray:
    """Return maps of 0..1 as 255 times their values, cut to a whole number, uint8."""
    return (maps * 255).astype(np.uint8)


def map_detections(
    maps: np.ndarray, levels: Callable[[np.ndarray], np.ndarray] = to_levels, resample: Filter = "bilinear"
) -> list[Detection | None]:
    """Return the detections of maps, float32 [B,S,S] in 0..1; None stands for a map that is not finite."""
    return [Detection(levels(one), one, resample=resample) if np.isfinite(one).all() else None for one in maps]


class GivenMethod(Method[np.ndarray]):
    """Maps that something else made, to be promoted: nothing is left to compute."""

    def __init__(self, promoter: Promoter) -> None:
        self.info = replace(promoter.info, model_id="given maps")
        self.batch_size = promoter.batcher.size

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Return the given maps, uint8 [B,S,S], which the engine passes on instead of the images."""
        return images

    def detections(self, computed: np.ndarray, images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Return the maps as they are."""
        return [Detection(one, one.astype(np.float32) / 255) for one in computed]
