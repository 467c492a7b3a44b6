"""Trainings that die right after they have saved their state."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from unsee.train import loop

Dies = Callable[[Path, dict[str, Any]], bool]


class Killed(Exception):
    """Stands for a kill."""


@contextmanager
def killed_after_saving(dies: Dies) -> Iterator[None]:
    """Expect the block's training to die; dies: tells from the path and the state after which save."""
    original = loop.save_state

    def save_then_die(path: Path, state: dict[str, Any]) -> None:
        original(path, state)
        if dies(path, state):
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "save_state", save_then_die)
        yield


def at_save(number: int) -> Dies:
    """Die after the save of that number, counted from 1."""
    numbers = count(1)
    return lambda _path, _state: next(numbers) == number
