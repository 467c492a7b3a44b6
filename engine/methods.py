"""What turns a batch of images into maps: the papers' methods, and the ones that they compare themselves with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UnseeError
from ..export.config import DescentConfig
from ..export.map_sessions import open_map_session
from ..export.parity import to_levels
from ..export.sessions import Descent, Session, SessionInfo
from ..kernels.prune import normalize
from .baselines import robust_background, saliency_filters
from .batching import AUTOMATIC_ON_CPU, Batcher
from .config import RunConfig
from .detection import Detection, described, detections
from .map_methods import AttentionalMethod, GivenMethod, Promoter
from .method import Method
from .postprocess import Maps, closed, finish
from .presets import PostConfig
from .region_contrast import region_contrast

Opener = Callable[..., Session]
ImageMaps = Callable[[np.ndarray], np.ndarray]

GRADIENT_STEP = 2.0**14
"""Large, so that the image's own values do not round the gradient off; a power of two, so that it adds no rounding."""
BASELINE_SIZE = 320
"""Side of the grid of methods without a network: about as many pixels as the images have that they were tuned on."""


class DescentMethod(Method[Descent]):
    """Paper B: the descent on one classifier and the clean-up of its difference."""

    def __init__(self, session: Session, post: PostConfig, batch_size: int | None) -> None:
        self.info = session.info
        self.post = post
        self.batcher = Batcher(session, batch_size)

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it shrinks when memory runs out
        return self.batcher.size

    def compute(self, images: np.ndarray) -> Descent:
        """Descend."""
        return self.batcher.descend(images)

    def detections(self, computed: Descent, images: np.ndarray) -> list[Detection | None]:
        """Clean up the difference."""
        return detections(computed, images, self.post, self.info.labels)

    def warm_up(self) -> None:
        """Clean up a difference of noise."""
        images = noise(self.info.input_size)
        self.detections(noisy_descent(images, len(self.info.labels)), images)


class GradientMethod(DescentMethod):
    """Simonyan et al. 2013: the largest magnitude over the channels of the top-1 logit's gradient (spec 5.1)."""

    def detections(self, computed: Descent, images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Scale the gradient's magnitude to a maximum of 1; magnitude is in logits per grey level."""
        diverged = np.logical_not(np.isfinite(computed.delta).all((1, 2, 3)))
        gradient = np.where(diverged[:, None, None, None], 0, computed.delta) / np.float32(GRADIENT_STEP)
        maps = np.abs(gradient).max(1)
        scaled = normalize(maps, "linf")
        magnitude = maps.max((1, 2), initial=0)
        return described(Maps(scaled, scaled, scaled, scaled, magnitude, diverged), computed, self.info.labels)


@dataclass(frozen=True)
class MaskedDescents:
    """recognition: CNN1's classes, logits and, where it makes the map, difference. descents: those that make maps."""

    recognition: Descent
    descents: list[Descent]


class MaskedMethod(Method[MaskedDescents]):
    """Paper A: CNN1 names the class; CNN2 and CNN3, trained on masked images, make the maps, which are averaged.

    Without CNN2 and CNN3 the map is CNN1's own. Node l of CNN2 and node N + l of CNN3 stand for masked class l.
    """

    def __init__(self, cnn1: Session, cnn2: Session | None, cnn3: Session | None, config: RunConfig) -> None:
        self.post = config.preset.post
        self.recognizer = Batcher(cnn1, config.batch_size)
        classes = len(cnn1.info.labels)
        offered = [("cnn2", cnn2, 0, classes), ("cnn3", cnn3, classes, 2 * classes)]
        given = [(name, session, first, count) for name, session, first, count in offered if session is not None]
        for name, session, _, count in given:
            _check_fit(name, session.info, cnn1.info, count)
        self.masked = [(Batcher(session, config.batch_size), first) for _, session, first, _ in given]
        sessions = [cnn1, *(session for _, session, _, _ in given)]
        names = [name for name, _, _, _ in given]
        tagged = [f"{name} {session.info.model_id}" for name, session in zip(["cnn1", *names], sessions, strict=True)]
        self.info = replace(cnn1.info, model_id=", ".join(tagged))

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it shrinks when memory runs out
        return min(batcher.size for batcher in (self.recognizer, *(batcher for batcher, _ in self.masked)))

    def compute(self, images: np.ndarray) -> MaskedDescents:
        """Name the classes by CNN1, in a descent of one pass where the others make the maps, and descend on those."""
        recognition = self.recognizer.descend(images, iterations=1 if self.masked else None)
        descents = [batcher.descend(images, targets=recognition.targets + first) for batcher, first in self.masked]
        return MaskedDescents(recognition, descents or [recognition])

    def detections(self, computed: MaskedDescents, images: np.ndarray) -> list[Detection | None]:
        """Clean up each difference, average the maps, dilate and erode (A 3.2)."""
        parts = [finish(descent.delta, images, replace(self.post, closing=0)) for descent in computed.descents]
        return described(combined(parts, self.post), computed.recognition, self.info.labels)

    def warm_up(self) -> None:
        """Clean up a difference of noise."""
        images = noise(self.info.input_size)
        descent = noisy_descent(images, len(self.info.labels))
        self.detections(MaskedDescents(descent, [descent]), images)


def combined(parts: list[Maps], post: PostConfig) -> Maps:
    """Return the scaled average of maps, dilated and eroded; diverged where any of them is."""
    final = closed(normalize(_mean(part.final for part in parts), "linf"), post)
    return Maps(
        raw=_mean(part.raw for part in parts),
        pruned=_mean(part.pruned for part in parts),
        smoothed=_mean(part.smoothed for part in parts),
        final=final,
        magnitude=np.maximum.reduce([part.magnitude for part in parts]),
        diverged=np.logical_or.reduce([part.diverged for part in parts]),
    )


def _mean(maps: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(maps)).mean(0)


def _check_fit(name: str, info: SessionInfo, first: SessionInfo, classes: int) -> None:
    """Refuse a network that was not trained beside CNN1."""
    if (len(info.labels), info.input_size) != (classes, first.input_size):
        raise UnseeError(
            f"{name} has {len(info.labels)} classes and input size {info.input_size}; beside a CNN1 with "
            f"{len(first.labels)} classes it must have {classes} and {first.input_size}"
        )


class ImageMethod(Method[np.ndarray]):
    """A method that needs no classifier: a function from images to maps, on this machine's CPU."""

    def __init__(self, name: str, maps: ImageMaps, batch_size: int | None) -> None:
        self.maps = maps
        self.batch_size = batch_size or AUTOMATIC_ON_CPU
        self.info = SessionInfo(name, (), BASELINE_SIZE, "numba", "cpu")

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Make the maps, float32 [B,S,S] in 0..1."""
        return self.maps(images)

    def detections(self, computed: np.ndarray, images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Return the maps as they are."""
        return [Detection(to_levels(one), one.astype(np.float32)) for one in computed]

    def warm_up(self) -> None:
        """Make a map of noise."""
        self.compute(noise(self.info.input_size))


def noise(size: int) -> np.ndarray:
    """Return an image of noise, uint8 [1,size,size,3]."""
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)


def noisy_descent(images: np.ndarray, classes: int) -> Descent:
    """Return what a descent on images might have found: a difference that is the images themselves."""
    delta = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    return Descent(delta, np.zeros((1, classes), np.float32), np.zeros(1, np.int64))


IMAGE_METHODS: dict[str, ImageMaps] = {
    "rc": region_contrast,
    "rbd": robust_background,
    "saliency-filters": saliency_filters,
}


def open_method(config: RunConfig, open_session: Opener, promoter: Promoter | None = None) -> Method[Any]:
    """Open the method of a configuration, its classifiers by `open_session` (see there).

    promoter: of the configuration, on whose grid given maps are read.
    """
    if promoter and config.method == "given":
        return GivenMethod(promoter)
    if config.method == "attentional":
        return AttentionalMethod(open_map_session(config.model, config.device, config.backend), config.batch_size)
    if config.method in IMAGE_METHODS:
        return ImageMethod(config.method, IMAGE_METHODS[config.method], config.batch_size)

    def opened(model: str, descent: DescentConfig, weights: str | None = None) -> Session:
        return open_session(model, descent, config.device, config.backend, weights)

    descent, post = config.preset.descent, config.preset.post
    if config.method == "gradient":
        once = DescentConfig(gradient="raw", gradient_floor=-np.inf, step=GRADIENT_STEP, step_decay=1.0, iterations=1)
        return GradientMethod(opened(config.model, once, config.weights), post, config.batch_size)
    if config.method == "b":
        return DescentMethod(opened(config.model, descent, config.weights), post, config.batch_size)
    masked = replace(descent, cost="masked")
    cnn2, cnn3 = (opened(model, masked) if model else None for model in (config.cnn2, config.cnn3))
    return MaskedMethod(opened(config.model, descent, config.weights), cnn2, cnn3, config)
