"""Work that planning does ahead, in processes beside its own, once there are enough inputs for that to pay."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from ...threads import cores
from ..inputs.input import Input
from ..inputs.sources import Sources
from ..inputs.tar_members import TarMember
from ..workers.daemon_threads import Workers
from ..workers.pipeline import ordered_map
from ..workers.processes import CrashedProcessError, HeldProcess
from .beside import Beside
from .fingerprint import in_turn
from .identities import Measured, Places, measured

ENOUGH = 20_000
"""Inputs that are measured here before a process is started: about as long as its start takes."""
MOST_PROCESSES = 4
TASKS_AHEAD = 2
"""Blocks of inputs, and tars, for each process: what bounds the memory."""

Block = tuple[Places, Any]


class Ahead:
    """Measures inputs and reads the directories of tars, both in their order; the processes end with the `with` block."""

    def __init__(self) -> None:
        self._processes: list[HeldProcess] = []
        self._free: SimpleQueue[HeldProcess] = SimpleQueue()
        self._threads: Workers | None = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes at once."""
        for process in self._processes:
            process.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)

    def measure(self, blocks: Iterable[Block]) -> Iterator[tuple[Any, Measured]]:
        """Measure blocks of inputs, see `Measure`."""
        rest, count = iter(blocks), 0
        for places, beside in rest:
            yield beside, measured(places)
            count += len(places.paths)
            if count >= ENOUGH:
                break
        else:
            return
        threads = self._started()
        if threads:
            yield from ordered_map(threads, self._measured, rest, len(self._processes) * TASKS_AHEAD)
        else:
            yield from in_turn(rest)

    def stream(self, sources: Sources, left_out: Counter[str] | None = None) -> Iterator[Input]:
        """Yield the inputs of sources; their tars are read ahead as long as there are processes."""
        return sources.stream(left_out, _TarsAhead(self, sources.tars()).directory)

    def begun(self, path: str) -> "Future[list[TarMember] | None]":
        """Begin to read the directory of a tar."""
        assert self._threads
        return self._threads.submit(self._directory, path)

    @property
    def tars_at_once(self) -> int:
        """How many tars are read ahead."""
        return len(self._processes) * TASKS_AHEAD

    def _started(self) -> Workers | None:
        """Start a process for each core that this one leaves idle, and return threads that wait for them."""
        with suppress(OSError):  # no more processes are to be had
            while len(self._processes) < min(cores() - 1, MOST_PROCESSES):
                self._processes.append(HeldProcess(Beside, lambda _: None, {}))
                self._free.put(self._processes[-1])
        if self._processes and not self._threads:
            self._threads = Workers(len(self._processes), "planning")
        return self._threads

    def _measured(self, block: Block) -> tuple[Any, Measured]:
        places, beside = block
        try:
            return beside, self._call("measured", places)
        except CrashedProcessError:
            return beside, measured(places)

    def _directory(self, path: str) -> list[TarMember] | None:
        try:
            return self._call("directory", path)
        except CrashedProcessError:
            return None

    def _call(self, method: str, argument: Any) -> Any:
        process = self._free.get()
        try:
            return process.call(method, argument)
        finally:
            self._free.put(process)


class _TarsAhead:
    """The directories of tars that were begun before they are asked for; paths: of the tars in their order."""

    def __init__(self, ahead: Ahead, paths: Iterator[str]) -> None:
        self.ahead, self.paths = ahead, paths
        self._begun: dict[str, Future[list[TarMember] | None]] = {}

    def directory(self, path: str) -> list[TarMember] | None:
        """Return the members of a tar, None where it is to be read now."""
        if not self.ahead.tars_at_once:
            return None
        begun = self._taken(path)
        while len(self._begun) < self.ahead.tars_at_once and (following := next(self.paths, None)) is not None:
            self._begun[following] = self.ahead.begun(following)
        return begun.result() if begun else None

    def _taken(self, path: str) -> "Future[list[TarMember] | None] | None":
        """Take a tar out of those begun, and drop those before it, which nobody asked for; else go on behind it."""
        if path in self._begun:
            while (first := next(iter(self._begun))) != path:
                del self._begun[first]
            return self._begun.pop(path)
        for passed in self.paths:
            if passed == path:
                break
        return None
