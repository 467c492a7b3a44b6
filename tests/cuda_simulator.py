"""What the files that run on numba's simulator share: fixtures that make it quick and safe, and arrays on the device."""

import sys
from threading import Lock
from typing import Any

import numpy as np
import pytest
from numba import config, cuda

from unsee.kernels import background_on_device, device, pooling, slic

LOCK = Lock()


def simulated() -> bool:
    """Whether the device is the simulator's."""
    return bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]


def on_device(array: np.ndarray) -> Any:
    """Return a copy on the device."""
    return cuda.to_device(np.ascontiguousarray(array))


@pytest.fixture(autouse=True, scope="module")
def simulator():
    """Make the simulator quick, whose threads wait for one another at Python's 5 ms a switch, and safe.

    Its shared.array gives two threads two arrays where both ask at once.
    """
    if not simulated():
        yield
        return
    from numba.cuda.simulator import kernelapi

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernelapi.FakeCUDAShared, "array", _shared_array)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        yield
        sys.setswitchinterval(interval)


@pytest.fixture(autouse=True)
def tiny_blocks(monkeypatch):
    """Make the last block of every launch a partial one, on small images."""
    monkeypatch.setattr(device, "THREADS", 8)
    monkeypatch.setattr(pooling, "ROOM", 4)
    monkeypatch.setattr(slic, "TILE", 4)
    monkeypatch.setattr(background_on_device, "TILE", 4)
    monkeypatch.setattr(background_on_device, "ROWS", 2)


def _shared_array(shared: Any, shape: Any, dtype: Any) -> np.ndarray:
    caller = sys._getframe(1)
    with LOCK:
        return shared._allocations.setdefault((caller.f_code, caller.f_lineno), np.empty(shape, dtype))
