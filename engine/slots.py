"""Who runs the shards: this process, several processes, or Ray actors. A slot runs one shard after another, overlapped.

Only descriptions of shards travel; every slot reads its own pixels and writes its own results.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias

from ..errors import ExitCode, UnseeError
from ..export.runtime.model_info import ModelInfo
from ..kernels.compiling import announce_compiling
from ..quiet import quiet_decoders
from ..threads import usable_threads
from .methods.methods import open_method
from .methods.models import open_descender
from .methods.networks import Promoter
from .outputs.plan import ShardJob
from .outputs.rows import Row
from .run_config import RunConfig
from .shard import ShardRunner
from .shards.job_board import ClaimJob, JobBoard, always_ours
from .shards.open_shard import Finished
from .stores.store import Store
from .workers.daemon_threads import Workers
from .workers.interruption import working
from .workers.processes import CrashedProcessError, HeldProcess
from .workers.ray_cluster import (
    answer,
    check_room,
    is_gone,
    joined_ray,
    needs_of_actor,
    room,
    takes_gpus,
    wait_for_places,
)
from .workers.visible_gpus import VARIABLE as GPU_VARIABLE
from .workers.visible_gpus import gpu_of_each, gpus_for

OnRow: TypeAlias = Callable[[Row], None]
OnDone: TypeAlias = Callable[[Finished], None]
Take: TypeAlias = Callable[[], ShardJob | None]
SECONDS_BETWEEN_LOOKS = 2.0
"""How often a cluster is asked for places that it has won."""
RAY_THREADS = 3
"""Of an actor: one works, one waits for its messages, one gives it jobs."""


class StartError(UnseeError):
    """A worker cannot be started: it dies before its model works."""

    exit_code = ExitCode.CRASH


class LostMachineError(Exception):
    """The machine that a slot ran on is no more."""


class ShardWorker:
    """Opens the model once, on first use, in whichever process it lives, and runs shards."""

    def __init__(self, config: RunConfig, store: Store, on_row: OnRow | None = None) -> None:
        self.config = config
        self.store = store
        self.on_row = on_row
        quiet_decoders()

    @cached_property
    def runner(self) -> ShardRunner:
        """The runner with the loaded models."""
        announce_compiling()
        promoter = Promoter.opened(self.config)
        return ShardRunner(open_method(self.config, open_descender, promoter), self.config, promoter)

    @cached_property
    def warm_runner(self) -> ShardRunner:
        """The runner, with everything compiled: no stage of a shard is charged for that."""
        self.runner.method.warm_up()
        return self.runner

    def info(self) -> ModelInfo:
        """Return what runs where."""
        return self.runner.info

    def close(self) -> None:
        """Give back what the models hold, where they were opened."""
        if "runner" in vars(self):
            self.runner.close()

    def run(self, take: Take, on_done: OnDone) -> None:
        """Run the shards that `take` gives, until it gives None.

        The first is taken before the model is opened: a worker that does not survive that has a shard to answer for.
        """
        first = take()
        if first is None:
            return
        plan = self.store.plan()
        jobs = chain([first], iter(take, None))
        with working(plan.folder), closing(self.warm_runner.run(plan, jobs, self.on_row, self.store)) as done:
            for finished in done:
                on_done(finished)


class HeldWorker(ShardWorker):
    """The worker of a `ProcessSlot`, in its process; tell: takes rows and finished shards, ask: returns the next job."""

    def __init__(self, config: RunConfig, store: Store, tell: Callable[[Any], None], ask: Take) -> None:
        super().__init__(config, store, tell)
        self.tell, self.ask = tell, ask

    def work(self) -> None:
        """Run the shards that there are."""
        self.run(self.ask, self.tell)


class RayWorker(ShardWorker):
    """The worker of a `RaySlot`, in its actor: `work` runs in one of its threads, while others carry messages.

    started_in: the folder that relative paths are seen from, on machines that have it.
    """

    def __init__(self, config: RunConfig, store: Store, started_in: str) -> None:
        super().__init__(config, store)
        with suppress(OSError):
            os.chdir(started_in)
        self.said: SimpleQueue[Finished | Literal["next", "end"]] = SimpleQueue()
        self.given: SimpleQueue[ShardJob | None] = SimpleQueue()

    def work(self) -> None:
        """Run the shards that there are."""
        try:
            self.run(self._asked, self.said.put)
        finally:
            self.said.put("end")

    def message(self) -> Finished | Literal["next", "end"]:
        """Wait for a finished shard, the wish for the next job, or the end of the work."""
        return self.said.get()

    def give(self, job: ShardJob | None) -> None:
        """Take the next job, None where there is none."""
        self.given.put(job)

    def _asked(self) -> ShardJob | None:
        self.said.put("next")
        return self.given.get()


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


class RaySlot(Slot):
    """A Ray actor: one GPU, or one CPU core, of the cluster."""

    def __init__(self, config: RunConfig, store: Store, on_gpu: bool) -> None:
        self.store = store.elsewhere()
        # Ray shows an actor its own GPU only, as the first.
        self.config = replace(config, device="cuda" if on_gpu else "cpu")
        options = {**needs_of_actor(on_gpu), "max_concurrency": RAY_THREADS}
        self.actor_class = joined_ray().remote(**options)(RayWorker)
        self.actor = self._new_actor()

    def info(self) -> ModelInfo:
        """Ask the actor."""
        return answer(self.actor.info.remote())

    def run(self, take: Take, on_done: OnDone) -> None:
        """Send the actor descriptions of shards as it asks for them; one without a place takes none."""
        ray = joined_ray()
        work = self.actor.work.remote()
        try:
            while (message := ray.get(self.actor.message.remote())) != "end":
                if isinstance(message, Finished):
                    on_done(message)
                else:
                    ray.get(self.actor.give.remote(take()))
            ray.get(work)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            if is_gone(error):
                raise LostMachineError from error
            raise

    def restart(self) -> None:
        """Start a new actor."""
        self.stop()
        self.actor = self._new_actor()

    def stop(self) -> None:
        """Kill the actor."""
        joined_ray().kill(self.actor)

    def _new_actor(self) -> Any:
        return self.actor_class.remote(self.config, self.store, str(Path.cwd()))


def open_slots(config: RunConfig, store: Store, on_row: OnRow) -> list[Slot]:
    """Return the slots of a configuration; on_row is called for each image that a process of this machine finishes."""
    if config.distributor == "ray":
        return _ray_slots(config, store)
    device = config.device if config.runs_model else "cpu"
    count = max(1, gpus_for(device)) if config.processes == "auto" else config.processes
    if count == 1:
        return [LocalSlot(config, store, on_row)]
    return [
        ProcessSlot(config, store, on_row, gpu, threads)
        for gpu, threads in zip(gpu_of_each(device, count), shared_out(usable_threads(), count), strict=True)
    ]


def _ray_slots(config: RunConfig, store: Store) -> list[Slot]:
    """Return actors that have their places; of as many as the cluster takes, the first is enough to begin with."""
    on_gpu = takes_gpus(config.device, config.runs_model)
    if config.processes == "auto":
        slots = [RaySlot(config, store, on_gpu) for _ in range(max(1, room(on_gpu)))]
        wait_for_places([slots[0].actor])
    else:
        check_room(config.processes, on_gpu)
        slots = [RaySlot(config, store, on_gpu) for _ in range(config.processes)]
        wait_for_places([slot.actor for slot in slots])
    return [*slots]


def growth(slots: list[Slot], config: RunConfig, store: Store) -> Growth | None:
    """Return what adds a slot for each place that the cluster has won since, None where a run does not follow it."""
    if config.distributor != "ray" or config.processes != "auto":
        return None
    on_gpu = takes_gpus(config.device, config.runs_model)

    def grown() -> list[Slot]:
        new: list[Slot] = [RaySlot(config, store, on_gpu) for _ in range(room(on_gpu) - len(slots))]
        slots.extend(new)
        return new

    return grown


def shared_out(threads: int, processes: int) -> list[int]:
    """Return how many of the threads each process gets: as equal as can be, and at least one."""
    return [max(1, threads // processes + (place < threads % processes)) for place in range(processes)]


def schedule(
    slots: Sequence[Slot],
    jobs: Iterable[ShardJob],
    max_retry: int,
    on_done: Callable[[dict[str, Any]], None],
    claim: ClaimJob = always_ours,
    growth: Growth | None = None,
) -> dict[int, Exception]:
    """Keep every slot busy until all shards are done; return the shards that failed for good, with their errors.

    Shards whose slot crashed or raised are tried again as `JobBoard` says. Results that cannot be written, and a user's
    mistakes, end everything at once. A slot that is alone runs in the calling thread. claim: see `JobBoard`. growth: asked
    now and then for slots that have come since.
    """
    board = JobBoard(jobs, len(slots), max_retry, on_done, claim)
    try:
        if len(slots) == 1 and growth is None:
            _serve(board, 0, slots[0])
        else:
            _serve_all(board, slots, growth or list)
    finally:
        board.close()
    return board.failed


def _serve_all(board: JobBoard, slots: Sequence[Slot], growth: Growth) -> None:
    """Have every slot served in a thread of its own; one that waits for a place in a cluster holds up nobody."""
    serving = {_served(board, number, slot) for number, slot in enumerate(slots)}
    while serving and not board.is_over:
        ended, serving = wait(serving, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
        for future in ended:
            future.result()
        serving |= {_served(board, board.add_slot(), slot) for slot in growth()}


def _served(board: JobBoard, number: int, slot: Slot) -> "Future[None]":
    thread = Workers(1, "slot")
    future = thread.submit(_serve, board, number, slot)
    thread.shutdown(wait=False)
    return future


def _serve(board: JobBoard, number: int, slot: Slot) -> None:
    """Have a slot run what is on the board until nothing comes any more."""
    while board.wait():
        try:
            slot.run(partial(board.take, number), partial(board.done, number))
        except UnseeError:
            raise
        except LostMachineError:
            board.lost(number)
            slot.restart()
        except Exception as error:  # whatever ended the slot's work: its shards are tried again
            if not board.crashed(number, error):
                return
            slot.restart()
