"""Timing work on a GPU, which goes on after a call has returned."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any


def seconds_of(call: Callable[[], Any], on_gpu: bool, rounds: int = 3, warm_ups: int = 1) -> float:
    """Return the median time of a call, the device being idle before and after."""
    for _ in range(warm_ups):
        call()
    times = []
    for _ in range(rounds):
        _wait(on_gpu)
        started = time.perf_counter()
        call()
        _wait(on_gpu)
        times.append(time.perf_counter() - started)
    return median(times)


def _wait(on_gpu: bool) -> None:
    if on_gpu:
        import torch

        torch.cuda.synchronize()
