"""Threads for work that may hang: they never keep the process alive, and a stuck one is replaced."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
Task = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]

GRACE_SECONDS = 1.0
"""How long an error or an interruption waits for what is half-way through; a read that never answers gets no more."""


@contextmanager
def repeating(action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call an action every so many seconds during the block, in a thread of its own, and not at its begin or end."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    clock = threading.Thread(target=repeat, daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


class Workers(Executor):
    """A pool of daemon threads.

    A `with` block that ends well waits for everything that was submitted; one that fails drops what has not begun and
    waits for the rest no longer than `GRACE_SECONDS`.
    """

    def __init__(self, count: int, name: str) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._name = name
        self._threads: list[threading.Thread] = []
        self._stuck = 0
        for _ in range(count):
            self._start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Wait for everything, or after an error for a moment."""
        if kind is None:
            self.shutdown()
        else:
            self.shutdown(wait=False, cancel_futures=True)
            self._join(GRACE_SECONDS)
        return None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Queue a call."""
        future: Future[T] = Future()
        self._tasks.put((future, fn, args, kwargs))
        return future

    def replace_stuck(self) -> None:
        """Start a thread in the place of one that does not come back; that one is waited for no more."""
        self._stuck += 1
        self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end once the queue is empty; wait for them unless some are stuck."""
        if cancel_futures:
            self._drop_queue()
        for _ in self._threads:
            self._tasks.put(None)
        if wait and not self._stuck:
            self._join(None)

    def _join(self, seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _drop_queue(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task:
                task[0].cancel()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, function, args, kwargs = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:  # handed to whoever waits for the result
                future.set_exception(error)
