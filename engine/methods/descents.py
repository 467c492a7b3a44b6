"""Methods that descend: on one classifier (paper B), on several (paper A), and the plain gradient they compare with."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ...errors import UnseeError
from ...export.runtime.descender import Descender, Descent
from ...export.runtime.model_info import ModelInfo, channels_first
from ...kernels.prune import normalize
from ..cleanup.device_cleanup import DeviceCleanup, OnItsWay
from ..cleanup.postprocess import Finished, Maps, closed, finish
from ..cleanup.presets import PostConfig
from .batching import BatchedMethod, Batcher
from .detection import Detection, described, detections
from .method import Method, noise
from .method_config import MethodConfig

GRADIENT_STEP = 2.0**14
"""Large, so that the image's own values do not round the gradient off; a power of two, so that it adds no rounding."""


class DescentMethod(BatchedMethod[Descent, Batcher]):
    """Paper B: the descent on one classifier and the clean-up of its difference."""

    def __init__(self, descender: Descender, post: PostConfig, batch_size: int | None) -> None:
        self.info = descender.info
        self.post = post
        self.batcher = Batcher(descender, batch_size)

    def compute(self, images: np.ndarray) -> Descent:
        """Descend."""
        return self.batcher.descend(images)

    def detections(self, computed: Descent, images: np.ndarray) -> list[Detection | None]:
        """Clean up the difference."""
        return detections(computed, images, self.post, self.info)

    def warm_up(self) -> None:
        """Clean up a difference of noise."""
        images = noise(self.info.input_size)
        self.detections(noisy_descent(images, len(self.info.labels)), images)


class DeviceDescentMethod(BatchedMethod[list[OnItsWay], Batcher]):
    """Paper B with the clean-up on the GPU that descends: a batch's maps are made while the next one is read."""

    def __init__(self, descender: Descender, cleanup: DeviceCleanup, batch_size: int | None) -> None:
        self.info = replace(descender.info, cleanup="device")
        self.cleanup, self.batcher = cleanup, Batcher(descender, batch_size)

    def close(self) -> None:
        """See `Method.close`."""
        self.cleanup.close()
        super().close()

    def compute(self, images: np.ndarray) -> list[OnItsWay]:
        """Begin to descend and to finish the maps."""
        if len(images) == 0:  # none of a batch could be read
            return []
        return self.batcher.parts(len(images), lambda part: self.cleanup.start(images[part]))

    def detections(self, computed: list[OnItsWay], images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Wait for the maps."""
        return [found for batch in computed for found in described(batch.maps(), self.info)]

    def warm_up(self) -> None:
        """Descend on noise: the network's step and the kernels are compiled, and captured for a batch."""
        images = noise(self.info.input_size)
        self.detections(self.compute(images), images)


class GradientMethod(DescentMethod):
    """Simonyan et al. 2013: the largest magnitude over the channels of the top-1 logit's gradient (spec 5.1)."""

    def detections(self, computed: Descent, images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Scale the gradient's magnitude to a maximum of 1; magnitude is in logits per grey level."""
        diverged = np.logical_not(np.isfinite(computed.delta).all((1, 2, 3)))
        gradient = np.where(diverged[:, None, None, None], 0, computed.delta) / np.float32(GRADIENT_STEP)
        maps = np.abs(gradient).max(1)
        scaled = normalize(maps, "linf")
        magnitude = maps.max((1, 2), initial=0)
        maps = Maps(scaled, scaled, lambda: scaled, scaled, magnitude, diverged)
        return described(Finished.of(maps, computed), self.info)


@dataclass(frozen=True)
class MaskedDescents:
    """recognition: CNN1's classes, logits and, where it makes the map, difference. descents: those that make maps."""

    recognition: Descent
    descents: list[Descent]


class MaskedMethod(Method[MaskedDescents]):
    """Paper A: CNN1 names the class; CNN2 and CNN3, trained on masked images, make the maps, which are averaged.

    Without CNN2 and CNN3 the map is CNN1's own. Node l of CNN2 and node N + l of CNN3 stand for masked class l.
    """

    def __init__(self, cnn1: Descender, cnn2: Descender | None, cnn3: Descender | None, config: MethodConfig) -> None:
        self.post = config.preset.post
        self.recognizer = Batcher(cnn1, config.batch_size)
        classes = len(cnn1.info.labels)
        offered = [("cnn2", cnn2, 0, classes), ("cnn3", cnn3, classes, 2 * classes)]
        given = [(name, descender, first, count) for name, descender, first, count in offered if descender is not None]
        for name, descender, _, count in given:
            _check_fit(name, descender.info, cnn1.info, count)
        self.masked = [(Batcher(descender, config.batch_size), first) for _, descender, first, _ in given]
        descenders = [cnn1, *(descender for _, descender, _, _ in given)]
        names = [name for name, _, _, _ in given]
        tagged = [
            f"{name} {descender.info.model_id}" for name, descender in zip(["cnn1", *names], descenders, strict=True)
        ]
        self.info = replace(cnn1.info, model_id=", ".join(tagged))

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it shrinks when memory runs out
        return min(batcher.size for batcher in self._batchers())

    @property
    def at_once(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it is the runners'
        return min(batcher.at_once for batcher in self._batchers())

    def pad_batches(self) -> None:
        """See `Method.pad_batches`."""
        for batcher in self._batchers():
            batcher.pads = True

    def batch_memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `Method.batch_memory`."""
        return self.recognizer.runner.batch_memory(shape)

    def close(self) -> None:
        """See `Method.close`."""
        for batcher in self._batchers():
            batcher.close()

    def _batchers(self) -> list[Batcher]:
        return [self.recognizer, *(batcher for batcher, _ in self.masked)]

    def compute(self, images: np.ndarray) -> MaskedDescents:
        """Name the classes by CNN1, in a descent of one pass where the others make the maps, and descend on those."""
        recognition = self.recognizer.descend(images, iterations=1 if self.masked else None)
        descents = [batcher.descend(images, targets=recognition.targets + first) for batcher, first in self.masked]
        return MaskedDescents(recognition, descents or [recognition])

    def detections(self, computed: MaskedDescents, images: np.ndarray) -> list[Detection | None]:
        """Clean up each difference, average the maps, dilate and erode (A 3.2)."""
        parts = [finish(descent.delta, images, replace(self.post, closing=0)) for descent in computed.descents]
        return described(Finished.of(combined(parts, self.post), computed.recognition), self.info)

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
        smoothing=lambda: _mean(part.smoothed for part in parts),
        final=final,
        magnitude=np.maximum.reduce([part.magnitude for part in parts]),
        diverged=np.logical_or.reduce([part.diverged for part in parts]),
    )


def _mean(maps: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(maps)).mean(0)


def _check_fit(name: str, info: ModelInfo, first: ModelInfo, classes: int) -> None:
    """Refuse a network that was not trained beside CNN1."""
    if (len(info.labels), info.input_size) != (classes, first.input_size):
        raise UnseeError(
            f"{name} has {len(info.labels)} classes and input size {info.input_size}; beside a CNN1 with "
            f"{len(first.labels)} classes it must have {classes} and {first.input_size}"
        )


def noisy_descent(images: np.ndarray, classes: int) -> Descent:
    """Return what a descent on images might have found: a difference that is the images themselves."""
    return Descent(channels_first(images), np.zeros((1, classes), np.float32), np.zeros(1, np.int64))
