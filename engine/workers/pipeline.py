"""Overlapping stages: ordered, bounded, and timed apart."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from itertools import repeat, takewhile
from threading import Lock
from typing import TypeVar

from .daemon_threads import Workers

T = TypeVar("T")
R = TypeVar("R")


class StageClock:
    """Adds up the seconds that threads spend in each named stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's time under `name`; stages that overlap in several threads add up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds under `name`."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


class SharedStage:
    """Times a stage whose calls overlap, and take from one another while they do: the time in which any of them runs."""

    def __init__(self, name: str) -> None:
        self.name, self._running, self._counted = name, 0, 0.0
        self._lock = Lock()

    @contextmanager
    def on(self, clock: StageClock) -> Iterator[None]:
        """Count the block's time on a clock, but for what has been counted of it on others."""
        self._count(clock, 1)
        try:
            yield
        finally:
            self._count(clock, -1)

    def _count(self, clock: StageClock, more: int) -> None:
        with self._lock:
            now = time.perf_counter()
            if self._running:
                clock.add(self.name, now - self._counted)
            self._running, self._counted = self._running + more, now


def ordered_map(pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Yield function(item) in the order of the items, with at most `ahead` calls running or waiting in the pool.

    Pulling one result keeps the pool filled, so a chain of these overlaps its stages while memory stays bounded. A result
    that is there goes before the next item, whose making may take long, so that the first are not held back.
    """
    return (future.result() for _, future in _in_flight(pool, function, items, ahead, eager=True))


def ordered_map_within(
    pool: Workers, function: Callable[[T], R], items: Iterable[T], ahead: int, seconds: float, late: Callable[[T], R]
) -> Iterator[R]:
    """As `ordered_map`, but an item that keeps everybody waiting for `seconds` becomes late(item).

    The pool is filled before the first result: its calls are what takes long, not the items.
    """
    for item, future in _in_flight(pool, function, items, ahead, eager=False):
        try:
            yield future.result(seconds)
        except TimeoutError:
            if future.done():  # the call itself raised it
                raise
            pool.replace_stuck()
            yield late(item)


def made_ahead(pool: Executor, items: Iterator[T], ahead: int) -> Iterator[T]:
    """Yield the items, of which the pool's only thread makes `ahead` before they are wanted."""
    end = object()
    made = ordered_map(pool, lambda _: next(items, end), repeat(None), ahead)
    return (item for item in takewhile(lambda item: item is not end, made))  # type: ignore[misc]


def _in_flight(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int, eager: bool
) -> "Iterator[tuple[T, Future[R]]]":
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            while waiting and (len(waiting) >= ahead or (eager and waiting[0][1].done())):
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for _, future in waiting:
            future.cancel()


def batched(
    items: Iterable[T], size: int, first: int | None = None, ends: Callable[[T], bool] | None = None
) -> Iterator[list[T]]:
    """Yield lists of `size` items; the last may be shorter, and so may one whose last item `ends` it.

    first: size of the first list, which the next ones double until they reach `size`: early results need not wait for a
    full one.
    """
    batch: list[T] = []
    wanted = min(size, first or size)
    for item in items:
        batch.append(item)
        if len(batch) == wanted or (ends and ends(item)):
            yield batch
            batch, wanted = [], min(size, 2 * wanted)
    if batch:
        yield batch
