"""What a place is where shards run."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from ...export.runtime.model_info import ModelInfo
from .shard_worker import OnDone, Take


class LostMachineError(Exception):
    """The machine that a slot ran on is no more."""


class Slot(ABC):
    """A place where shards run, one after another."""

    @abstractmethod
    def info(self) -> ModelInfo:
        """Return what runs where; the first call opens the model."""

    @abstractmethod
    def run(self, take: Take, on_done: OnDone) -> None:
        """Run the shards that `take` gives, until it gives None, and tell of each that is done; raises what ends that."""

    @abstractmethod
    def restart(self) -> None:
        """Take up work again after a crash."""

    @abstractmethod
    def stop(self) -> None:
        """End at once."""


Growth: TypeAlias = Callable[[], list[Slot]]
"""Returns the slots that have come since it was last called."""
