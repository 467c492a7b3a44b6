"""Who runs the shards: this process, several processes, or Ray actors. A slot runs one shard at a time.

Only descriptions of shards travel; every slot reads its own pixels and writes its own results.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeAlias

from ..errors import ExitCode, UnseeError
from ..export.runtime.model_info import ModelInfo
from ..kernels.compiling import announce_compiling
from ..quiet import quiet_decoders
from ..threads import usable_threads
from .methods.methods import open_method
from .methods.models import open_descender
from .methods.networks import Promoter
from .outputs.done_marks import is_done
from .outputs.plan import ShardJob
from .outputs.rows import Row
from .plans.earlier_shard import done_shard
from .run_config import RunConfig
from .shard import ShardRunner
from .stores.store import Store
from .workers.daemon_threads import Workers
from .workers.interruption import working
from .workers.processes import CrashedProcessError, HeldProcess
from .workers.ray_cluster import answer, check_room, joined_ray, needs_of_actor, takes_gpus, wait_for_places
from .workers.visible_gpus import VARIABLE as GPU_VARIABLE
from .workers.visible_gpus import gpu_of_each

OnRow: TypeAlias = Callable[[Row], None]
SECONDS_BETWEEN_LOOKS = 0.5
"""How long nothing is done where all that is left is others' work."""


class StartError(UnseeError):
    """A worker cannot be started: it dies before its model works."""

    exit_code = ExitCode.CRASH


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

    def run(self, job: ShardJob) -> dict[str, Any]:
        """Run one shard and return its stats."""
        plan = self.store.plan()
        with working(plan.folder):
            if job.retry is not None:
                self.store.bring_shard(plan, job.shard)
            done = is_done(plan.folder, job.shard)
            earlier = done_shard(plan, job.shard, job.retry) if done and job.retry is not None else None
            stats = self.warm_runner.run(plan, job.shard, earlier, self.on_row)
            self.store.publish(plan, job.shard)
            return stats


class Slot(ABC):
    """A place where one shard runs at a time."""

    @abstractmethod
    def info(self) -> ModelInfo:
        """Return what runs where; the first call opens the model."""

    @abstractmethod
    def submit(self, job: ShardJob) -> "Future[dict[str, Any]]":
        """Start a shard."""

    @abstractmethod
    def restart(self) -> None:
        """Take up work again after a crash."""

    @abstractmethod
    def stop(self) -> None:
        """End at once."""


class LocalSlot(Slot):
    """This process: `submit` returns when the shard is done."""

    def __init__(self, config: RunConfig, store: Store, on_row: OnRow) -> None:
        self.worker = ShardWorker(config, store, on_row)

    def info(self) -> ModelInfo:
        """Open the model here."""
        return self.worker.info()

    def submit(self, job: ShardJob) -> "Future[dict[str, Any]]":
        """Run the shard here."""
        future: Future[dict[str, Any]] = Future()
        try:
            future.set_result(self.worker.run(job))
        except Exception as error:
            future.set_exception(error)
        return future

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
        self.caller = Workers(1, "slot")
        self.process = self._new_process()

    def info(self) -> ModelInfo:
        """Ask the process."""
        while True:
            try:
                return self._called("info")
            except CrashedProcessError:
                self.restart()

    def submit(self, job: ShardJob) -> "Future[dict[str, Any]]":
        """Send the shard's description to the process; one that died idle is replaced first."""
        if self.process.answered and self.process.ended:
            self.restart()
        return self.caller.submit(self._called, "run", job)

    def restart(self) -> None:
        """Start a new process."""
        self.process.kill()
        self.process = self._new_process()

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.caller.shutdown(wait=False, cancel_futures=True)

    def _called(self, method: str, *arguments: Any) -> Any:
        """Call a method of the process's worker; `StartError` where it dies before its model works, again and again."""
        process = self.process
        try:
            result = process.call(method, *arguments)
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

    def _new_process(self) -> HeldProcess:
        return HeldProcess(partial(ShardWorker, self.config, self.store), self.on_row, self.environment)


class RaySlot(Slot):
    """A Ray actor: one GPU, or one CPU core, of the cluster."""

    def __init__(self, config: RunConfig, store: Store, on_gpu: bool) -> None:
        self.store = store.elsewhere()
        # Ray shows an actor its own GPU only, as the first.
        self.config = replace(config, device="cuda" if on_gpu else "cpu")
        self.actor_class = joined_ray().remote(**needs_of_actor(on_gpu))(ShardWorker)
        self.actor = self.actor_class.remote(self.config, self.store)

    def info(self) -> ModelInfo:
        """Ask the actor."""
        return answer(self.actor.info.remote())

    def submit(self, job: ShardJob) -> "Future[dict[str, Any]]":
        """Send the shard's description to the actor."""
        return self.actor.run.remote(job).future()

    def restart(self) -> None:
        """Start a new actor."""
        self.stop()
        self.actor = self.actor_class.remote(self.config, self.store)

    def stop(self) -> None:
        """Kill the actor."""
        joined_ray().kill(self.actor)


def open_slots(config: RunConfig, store: Store, on_row: OnRow) -> list[Slot]:
    """Return the slots of a configuration; on_row is called for each image that a process of this machine finishes."""
    if config.distributor == "ray":
        on_gpu = takes_gpus(config.device, config.runs_model)
        check_room(config.processes, on_gpu)
        slots = [RaySlot(config, store, on_gpu) for _ in range(config.processes)]
        wait_for_places([slot.actor for slot in slots])
        return [*slots]
    if config.processes == 1:
        return [LocalSlot(config, store, on_row)]
    gpus = gpu_of_each(config.device if config.runs_model else "cpu", config.processes)
    return [
        ProcessSlot(config, store, on_row, gpu, threads)
        for gpu, threads in zip(gpus, shared_out(usable_threads(), config.processes), strict=True)
    ]


def shared_out(threads: int, processes: int) -> list[int]:
    """Return how many of the threads each process gets: as equal as can be, and at least one."""
    return [max(1, threads // processes + (place < threads % processes)) for place in range(processes)]


def schedule(
    slots: list[Slot], jobs: Iterable[ShardJob | None], max_retry: int, on_done: Callable[[dict[str, Any]], None]
) -> dict[int, Exception]:
    """Keep every slot busy until all shards are done; return the shards that failed for good, with their errors.

    None among the jobs says that the next ones may be had later. A shard whose slot crashed or raised is tried again up
    to max_retry times. Results that cannot be written, and a user's mistakes, end everything at once.
    """
    waiting, idle = _Waiting(jobs), list(slots)
    running: dict[Future[dict[str, Any]], tuple[Slot, ShardJob]] = {}
    attempts: Counter[int] = Counter()
    failed: dict[int, Exception] = {}
    while waiting or running:
        while idle and (job := waiting.next()):
            slot = idle.pop()
            running[slot.submit(job)] = slot, job
        if not running and waiting:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            continue
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            slot, job = running.pop(future)
            idle.append(slot)
            error = _failure(future)
            if error is None:
                on_done(future.result())
                continue
            slot.restart()
            attempts[job.shard] += 1
            if attempts[job.shard] <= max_retry:
                waiting.again.append(job)
            else:
                failed[job.shard] = error
    return failed


class _Waiting:
    """Jobs that wait for a slot: those that are tried again come last."""

    def __init__(self, jobs: Iterable[ShardJob | None]) -> None:
        self._jobs = iter(jobs)
        self._ended = False
        self.again: deque[ShardJob] = deque()

    def __bool__(self) -> bool:
        return bool(self.again) or not self._ended

    def next(self) -> ShardJob | None:
        """Return the next job, None where there is none now."""
        if not self._ended:
            try:
                job = next(self._jobs)
            except StopIteration:
                self._ended = True
            else:
                if job is not None:
                    return job
        return self.again.popleft() if self.again else None


def _failure(future: "Future[dict[str, Any]]") -> Exception | None:
    """Return why a shard failed; raise what no other try can mend."""
    error = future.exception()
    cause = getattr(error, "cause", None) or error  # Ray wraps what an actor raised
    if isinstance(cause, UnseeError):
        raise cause
    if error is not None and not isinstance(error, Exception):
        raise error
    return error
