"""Slots of this machine: this process, and processes of their own."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import ExitCode, UnseeError
from ...export.runtime.model_info import ModelInfo
from ..outputs.rows import Row
from ..run_config import RunConfig
from ..stores.store import Store
from ..workers.processes import CrashedProcessError, HeldProcess
from ..workers.visible_gpus import VARIABLE as GPU_VARIABLE
from .open_shard import Finished
from .shard_worker import OnDone, OnRow, ShardWorker, Take
from .slot import Slot


class StartError(UnseeError):
    """A worker cannot be started: it dies before its model works."""

    exit_code = ExitCode.CRASH


class LocalSlot(Slot):
    """This process: the descent runs in the thread that calls `run`."""

    def __init__(self, config: RunConfig, store: Store, on_row: OnRow) -> None:
        self.worker = ShardWorker(config, store, on_row)

    def info(self) -> ModelInfo:
        """Open the model here."""
        return self.worker.info()

    def run(self, take: Take, on_done: OnDone) -> None:
        """Run the shards here."""
        self.worker.run(take, on_done)

    def restart(self) -> None:
        """Nothing crashed that the process survived."""

    def stop(self) -> None:
        """Give back what the models hold: nothing runs between calls."""
        self.worker.close()


class HeldWorker(ShardWorker):
    """The worker of a `ProcessSlot`, in its process; tell: takes rows and finished shards, ask: returns the next job."""

    def __init__(self, config: RunConfig, store: Store, tell: Callable[[Any], None], ask: Take) -> None:
        super().__init__(config, store, tell)
        self.tell, self.ask = tell, ask

    def work(self) -> None:
        """Run the shards that there are."""
        self.run(self.ask, self.tell)


class ProcessSlot(Slot):
    """A process of its own, with its own model, on its own GPU where there is a choice.

    gpu: the one that it sees, None for what this process sees. threads: of its kernels and its network.
    """

    def __init__(self, config: RunConfig, store: Store, on_row: OnRow, gpu: str | None, threads: int) -> None:
        self.config, self.store, self.on_row = config, store, on_row
        self.environment = {"OMP_NUM_THREADS": str(threads)}
        if gpu is not None:
            self.environment[GPU_VARIABLE] = gpu
        self.failed_starts = 0
        self.on_done: OnDone | None = None
        self.process = self._new_process()

    def info(self) -> ModelInfo:
        """Ask the process."""
        while True:
            try:
                return self._called("info")
            except CrashedProcessError:
                self.restart()

    def run(self, take: Take, on_done: OnDone) -> None:
        """Send the process descriptions of shards as it asks for them; one that died idle is replaced first."""
        if self.process.answered and self.process.ended:
            self.restart()
        self.on_done = on_done
        self._called("work", answer=take)

    def restart(self) -> None:
        """Start a new process."""
        self.process.kill()
        self.process = self._new_process()

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()

    def _called(self, method: str, answer: Take | None = None) -> Any:
        """Call a method of the process's worker; `StartError` where it dies before its model works, again and again."""
        process = self.process
        try:
            result = process.call(method, answer=answer)
        except CrashedProcessError as error:
            self.failed_starts += not process.answered
            if process.answered or self.failed_starts <= self.config.max_shard_retry:
                raise
            raise StartError(
                f"{error} (before it had finished anything, {self.failed_starts} times): "
                f"fewer --processes (now {self.config.processes}) or a smaller --batch-size need less memory"
            ) from None
        self.failed_starts = 0
        return result

    def _told(self, value: Row | Finished) -> None:
        self.failed_starts = 0
        if isinstance(value, Row):
            self.on_row(value)
        elif self.on_done:
            self.on_done(value)

    def _new_process(self) -> HeldProcess:
        return HeldProcess(partial(HeldWorker, self.config, self.store), self._told, self.environment)
