"""Measuring inputs ahead, in processes beside the one that plans, once there are enough of them for that to pay."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from ...threads import cores
from ..workers.daemon_threads import Workers
from ..workers.pipeline import ordered_map
from ..workers.processes import CrashedProcessError, HeldProcess
from .fingerprint import Measure, in_turn
from .identities import Measured, Measurer, Places, measured

ENOUGH = 20_000
"""Inputs that are measured here before a process is started: about as long as its start takes."""
MOST_PROCESSES = 4
BLOCKS_AHEAD = 2
"""Of each process: what bounds the memory."""

Block = tuple[Places, Any]


@contextmanager
def measuring() -> Iterator[Measure]:
    """Yield what measures inputs; its processes, if it starts any, end with the block."""
    processes = _Processes()
    try:
        yield partial(_measured, processes)
    finally:
        processes.kill()


def _measured(processes: "_Processes", blocks: Iterable[Block]) -> Iterator[tuple[Any, Measured]]:
    rest, count = iter(blocks), 0
    for places, beside in rest:
        yield beside, measured(places)
        count += len(places.paths)
        if count >= ENOUGH:
            break
    else:
        return
    if processes.started():
        with Workers(processes.count, "measuring") as pool:
            yield from ordered_map(pool, processes.measured, rest, processes.count * BLOCKS_AHEAD)
    else:
        yield from in_turn(rest)


class _Processes:
    """Processes beside this one, one for each core that it leaves idle."""

    def __init__(self) -> None:
        self._all: list[HeldProcess] = []
        self._free: SimpleQueue[HeldProcess] = SimpleQueue()

    @property
    def count(self) -> int:
        return len(self._all)

    def started(self) -> bool:
        """Start the processes where they are not there yet; tell whether there is any."""
        with suppress(OSError):  # no more processes are to be had
            while self.count < min(cores() - 1, MOST_PROCESSES):
                self._all.append(HeldProcess(Measurer, lambda _: None, {}))
                self._free.put(self._all[-1])
        return bool(self._all)

    def measured(self, block: Block) -> tuple[Any, Measured]:
        """Measure a block in a process that is free, or here where that one has died."""
        places, beside = block
        process = self._free.get()
        try:
            return beside, process.call("measured", places)
        except CrashedProcessError:
            return beside, measured(places)
        finally:
            self._free.put(process)

    def kill(self) -> None:
        for process in self._all:
            process.kill()
