"""Threads for work that may hang: they never keep the process alive, and a stuck one is replaced."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")
Task = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Workers(Executor):
    """A pool of daemon threads."""

    def __init__(self, count: int, name: str) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._name = name
        self._threads: list[threading.Thread] = []
        self._stuck = 0
        for _ in range(count):
            self._start()

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
            for thread in self._threads:
                thread.join()

    def _drop_queue(self) -> None:
        while not self._tasks.empty():
            task = self._tasks.get()
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
