"""Gradients and class activation maps with any runner of an attribution graph."""

from dataclasses import dataclass

import numpy as np

from ...errors import UnseeError
from ..bundles.attribution_contents import CAM, COTANGENT, GRADIENT, IMAGE, LOGITS, TARGET, AttributionContents
from ..bundles.bundle import Bundle
from .model_info import ModelInfo, channels_first, check_images
from .runner import Runner, open_runner

TOP = -1
"""Stands for the top-1 class."""


@dataclass(frozen=True)
class Attribution:
    """What a classifier makes of images, and why.

    logits: float32 [B,N]. targets: int64 [B], the classes that were asked for, or the top-1. values: float32, the gradient
    of the target's logit by the pixels [B,3,S,S], in logits per grey level, or class activation maps [B,h,w].
    """

    logits: np.ndarray
    targets: np.ndarray
    values: np.ndarray


class Attributor:
    """A classifier's attribution graph loaded on a device."""

    def __init__(self, runner: Runner, contents: AttributionContents, model_id: str) -> None:
        size, labels = contents.input.size, contents.labels
        self.info = ModelInfo(model_id, labels, size, runner.backend, runner.device, contents.names_classes)
        self.runner, self.contents = runner, contents

    @classmethod
    def of_bundle(
        cls,
        bundle: Bundle[AttributionContents],
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
    ) -> "Attributor":
        """Open a bundle that has been read; see `open_runner`."""
        return cls(open_runner(bundle, device, backend, threads), bundle.contents, bundle.model_id)

    def attribute(self, images: np.ndarray, targets: np.ndarray | None = None) -> Attribution:
        """Return what speaks for a class of each image.

        images: uint8 [B,S,S,3], RGB. targets: int [B], the top-1 where None. Raises `UnseeError` on wrong shapes and on
        what is no class.
        """
        check_images(images, self.info.input_size)
        wanted = self._checked(targets, len(images))
        if self.contents.kind == "gradient":
            if targets is None:
                wanted = self.logits(images).argmax(1)
            cotangents = np.zeros((len(images), len(self.info.labels)), np.float32)
            cotangents[np.arange(len(images)), wanted] = 1
            logits, values = self.pull_back(images, cotangents)
        else:
            found = self._run(images, {TARGET: wanted})
            logits, values = found[LOGITS], found[CAM]
            wanted = np.where(wanted == TOP, logits.argmax(1), wanted)
        return Attribution(logits, wanted, values)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits, float32 [B,N], of images, uint8 [B,S,S,3]."""
        if self.contents.kind == "gradient":
            return self.pull_back(images, np.zeros((len(images), len(self.info.labels)), np.float32))[0]
        return self._run(images, {TARGET: np.full(len(images), TOP)})[LOGITS]

    def pull_back(self, images: np.ndarray, cotangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits [B,N], and the cotangents [B,N] pulled back to the pixels [B,3,S,S].

        Raises `UnseeError` where the graph makes class activation maps.
        """
        if self.contents.kind != "gradient":
            raise UnseeError(f"a bundle of {self.contents.kind} holds no gradient by the pixels")
        check_images(images, self.info.input_size)
        if cotangents.shape != (len(images), len(self.info.labels)):
            raise UnseeError(
                f"cotangents must be [{len(images)},{len(self.info.labels)}], got {list(cotangents.shape)}"
            )
        found = self._run(images, {COTANGENT: np.ascontiguousarray(cotangents, np.float32)})
        return found[LOGITS], found[GRADIENT]

    def close(self) -> None:
        """Give back threads and memory."""
        self.runner.close()

    def _run(self, images: np.ndarray, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if len(images) == 0:
            return {spec.name: spec.zeros(0) for spec in self.contents.graph.outputs}
        return self.runner.run({IMAGE: channels_first(images), **given})

    def _checked(self, targets: np.ndarray | None, count: int) -> np.ndarray:
        if targets is None:
            return np.full(count, TOP)
        wanted = np.asarray(targets)
        if wanted.shape != (count,) or not np.issubdtype(wanted.dtype, np.integer):
            raise UnseeError(f"targets must be {count} whole numbers, got {wanted.dtype} {list(wanted.shape)}")
        classes = len(self.info.labels)
        if not ((wanted >= 0) & (wanted < classes)).all():
            raise UnseeError(f"targets must be classes from 0 to {classes - 1}, got {wanted.tolist()}")
        return wanted.astype(np.int64)
