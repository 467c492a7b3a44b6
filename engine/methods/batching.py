"""Running models on batches as large as memory allows; the size of a batch never decides a result."""

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from ...errors import UnseeError, first_line
from ...export.runtime.descender import Descender, Descent
from ...export.runtime.mapper import Mapper
from ...export.runtime.memory import is_out_of_memory
from ...export.runtime.runner import Runner
from .method import Computed, Method

AUTOMATIC_ON_CPU = 16
AUTOMATIC_ON_GPU = 128

Part = TypeVar("Part")
Batches = TypeVar("Batches", bound="Halving")


class Halving:
    """Does work on batches of at most `size` images, and on smaller ones once memory has run out.

    pads: whether smaller batches are padded to `size` on a GPU, where one size is made ready: in bulk, not for a few images.
    """

    def __init__(self, runner: Runner, size: int | None) -> None:
        self.runner, self.on_cpu = runner, runner.device == "cpu"
        self.size = size or (AUTOMATIC_ON_CPU if self.on_cpu else AUTOMATIC_ON_GPU)
        self.pads = False

    @property
    def at_once(self) -> int:
        """How many threads may give it batches: enough that the runner never waits for the next."""
        return 2 if self.runner.takes_several else 1

    def close(self) -> None:
        """Give back what the model holds."""
        self.runner.close()

    def parts(self, count: int, work: Callable[[slice], Part]) -> list[Part]:
        """Return what the work made of each batch of `count` images.

        Where memory runs out, the batch that ran is halved, and no later one is larger than that.
        """
        parts: list[Part] = []
        start = 0
        while start < count or not parts:
            size = self.size  # which another batch may halve meanwhile
            try:
                if self.pads:
                    self.runner.expect(size)
                parts.append(work(slice(start, start + size)))
                start += size
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                padded = self.pads and not self.on_cpu
                self._halve(size if padded else min(size, count - start), error)
        return parts

    def _halve(self, ran: int, error: Exception) -> None:
        if ran <= 1:
            raise UnseeError(
                f"out of memory with a single image: use a smaller model or another device ({first_line(error)[:200]})"
            ) from None
        self.size = ran // 2


class BatchedMethod(Method[Computed], Generic[Computed, Batches]):
    """A method whose one model runs on batches that fit into memory."""

    batcher: Batches

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it shrinks when memory runs out
        return self.batcher.size

    @property
    def at_once(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it is the runner's
        return self.batcher.at_once

    def pad_batches(self) -> None:
        """See `Method.pad_batches`."""
        self.batcher.pads = True

    def batch_memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `Method.batch_memory`."""
        return self.batcher.runner.batch_memory(shape)

    def close(self) -> None:
        """See `Method.close`."""
        self.batcher.close()


class Batcher(Halving):
    """Runs a descent on batches that fit into memory."""

    def __init__(self, descender: Descender, size: int | None = None) -> None:
        super().__init__(descender.runner, size)
        self.descender = descender

    def descend(self, images: np.ndarray, iterations: int | None = None, targets: np.ndarray | None = None) -> Descent:
        """Descend as `Descender.descend` does."""

        def descended(part: slice) -> Descent:
            return self.descender.descend(images[part], iterations, None if targets is None else targets[part])

        parts = self.parts(len(images), descended)
        return parts[0] if len(parts) == 1 else _joined(parts)


class MapBatcher(Halving):
    """Makes maps of batches that fit into memory."""

    def __init__(self, mapper: Mapper, size: int | None = None) -> None:
        super().__init__(mapper.runner, size)
        self.mapper = mapper

    def maps(self, images: np.ndarray, priors: np.ndarray | None = None) -> np.ndarray:
        """Make maps as `Mapper.maps` does."""

        def made(part: slice) -> np.ndarray:
            return self.mapper.maps(images[part], None if priors is None else priors[part])

        return np.concatenate(self.parts(len(images), made))


def _joined(parts: list[Descent]) -> Descent:
    return Descent(
        np.concatenate([part.delta for part in parts]),
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.targets for part in parts]),
    )
