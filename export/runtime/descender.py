"""Descending on batches of images with any runner of a descent step (spec section 1)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UnseeError
from ..bundles.bundle import Bundle
from ..bundles.descent_config import DescentConfig
from ..bundles.descent_contents import DescentContents, check_constants
from .model_info import ModelInfo, channels_first, check_images
from .runner import Runner, open_runner


@dataclass(frozen=True)
class Descent:
    """What a descent leaves behind.

    delta: float32 [B,3,S,S], X(0) - X(T) in grey levels, RGB. logits: float32 [B,N] of the original images.
    targets: int64 [B], the class that was unseen.
    """

    delta: np.ndarray
    logits: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class State:
    """Where a descent is: image float32 [B,3,S,S], RGB; reference float32 [B,N]; target int64 [B] (see `build_step`)."""

    image: np.ndarray
    reference: np.ndarray
    target: np.ndarray


class Descender:
    """A classifier loaded on a device, ready to descend on batches. config: constants of the descent."""

    def __init__(self, runner: Runner, info: ModelInfo, config: DescentConfig) -> None:
        self.runner, self.info, self.config = runner, info, config

    @classmethod
    def of_bundle(
        cls,
        bundle: Bundle[DescentContents],
        config: DescentConfig,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
    ) -> "Descender":
        """Open a bundle that has been read; see `open_runner`.

        Raises `UnseeError` where its graph was exported with other constants than those of `config`.
        """
        contents = bundle.contents
        check_constants(contents, config, bundle.directory)
        runner = open_runner(bundle, device, backend, threads, precision)
        info = ModelInfo(
            bundle.model_id,
            contents.labels,
            contents.input.size,
            runner.backend,
            runner.device,
            contents.names_classes,
            runner.precision,
        )
        return cls(runner, info, config)

    def descend(self, images: np.ndarray, iterations: int | None = None, targets: np.ndarray | None = None) -> Descent:
        """Descend on images, uint8 [B,S,S,3] RGB, each on its own whatever its batch mates.

        iterations: number T of passes, the configuration's where None. targets: int64 [B], the class to unsee in each
        image; -1, or None for all, is the top-1 of the first pass. Raises `UnseeError` on wrong shapes or classes.
        """
        size, classes = self.info.input_size, len(self.info.labels)
        check_images(images, size)
        if targets is None:
            targets = np.full(len(images), -1, np.int64)
        targets = np.asarray(targets, np.int64)
        if targets.shape != (len(images),) or ((targets < -1) | (targets >= classes)).any():
            raise UnseeError(f"targets must be {len(images)} classes below {classes}, or -1 for the top-1")
        iterations = self.config.iterations if iterations is None else iterations
        if iterations < 1:
            raise UnseeError(f"iterations must be at least 1, got {iterations}")
        if len(images) == 0:
            return Descent(np.zeros((0, 3, size, size), np.float32), np.zeros((0, classes), np.float32), targets)
        return self._descend(images, iterations, targets)

    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """Run iterations `first`, `first` + 1, ... on a batch that is not empty."""
        end = self.runner.run(vars(state), self._turns(range(first, first + iterations)))
        return State(end["next_image"], end["next_reference"], end["next_target"])

    def descend_there(self, images: np.ndarray) -> dict[str, Any]:
        """Descend on images, uint8 [B,S,S,3], on the classes that are the top-1, and leave the result on the device.

        Returns tensors, which hold until the next descent: delta, float32 [P,3,S,S]; pixels, uint8 [P,S,S,3];
        logits, float32 [P,N]; targets, int64 [P]. P is what the batch was padded to. For runners with a
        stream, within their `at_work`.
        """
        end = self.runner.run_there(self._start(images), self._turns(range(self.config.iterations)))
        return {
            "delta": (end["image"] - end["next_image"]).contiguous(),
            "pixels": end["image"].permute(0, 2, 3, 1).byte().contiguous(),
            "logits": end["next_reference"],
            "targets": end["next_target"],
        }

    def close(self) -> None:
        """Give back threads and memory."""
        self.runner.close()

    def _start(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the inputs of the first turn, the images as pixels."""
        count, classes = len(images), len(self.info.labels)
        return {
            "image": images,
            "reference": np.zeros((count, classes), np.float32),
            "target": np.full(count, -1, np.int64),
        }

    def _turns(self, numbers: range) -> list[dict[str, float]]:
        return [{"iteration": number, "step_size": self.config.step_at(number)} for number in numbers]

    def _descend(self, images: np.ndarray, iterations: int, targets: np.ndarray) -> Descent:
        """Descend on checked, non-empty input."""
        start = channels_first(images)
        reference = np.zeros((len(images), len(self.info.labels)), np.float32)
        end = self.advance(State(start, reference, targets), iterations)
        return Descent(start - end.image, end.reference, end.target)
