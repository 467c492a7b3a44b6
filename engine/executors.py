"""Who runs the shards: this process, several processes, or Ray actors. A slot runs one shard at a time.

Only descriptions of shards travel; every slot reads its own pixels and writes its own results.
"""

import os
import signal
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import UnseeError
from ..export.sessions import SessionInfo, open_session
from ..extras import require
from ..quiet import quiet_decoders
from ..threads import usable_threads
from .config import RunConfig
from .interruption import working
from .map_methods import Promoter
from .methods import open_method
from .plan import read_plan
from .rows import Row
from .shard import ShardRunner, earlier_shard, is_done

CORES_OF_A_RAY_ACTOR = 1


@dataclass(frozen=True)
class ShardJob:
    """A shard to run. retry: error codes to try again in a shard that is done, None for a whole shard."""

    shard: int
    retry: frozenset[str] | None = None


class ShardWorker:
    """Opens the model once, on first use, in whichever process it lives, and runs shards."""

    def __init__(self, config: RunConfig, on_row: Callable[[Row], None] | None = None) -> None:
        self.config = config
        self.on_row = on_row
        quiet_decoders()

    @cached_property
    def runner(self) -> ShardRunner:
        """The runner with the loaded models."""
        promoter = Promoter.opened(self.config)
        return ShardRunner(open_method(self.config, open_session, promoter), self.config, promoter)

    def info(self) -> SessionInfo:
        """Return what runs where."""
        return self.runner.info

    def run(self, job: ShardJob) -> dict[str, Any]:
        """Run one shard and return its stats."""
        plan = read_plan(Path(self.config.output_folder))
        with working(plan.folder):
            redo = job.retry is not None and is_done(plan.folder, job.shard)
            earlier = earlier_shard(plan, job.shard, self.config, job.retry or frozenset()) if redo else None
            return self.runner.run(plan, job.shard, earlier, self.on_row)


class Slot(ABC):
    """A place where one shard runs at a time."""

    @abstractmethod
    def info(self) -> SessionInfo:
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

    def __init__(self, config: RunConfig, on_row: Callable[[Row], None]) -> None:
        self.worker = ShardWorker(config, on_row)

    def info(self) -> SessionInfo:
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
        """Nothing runs between calls."""


class ProcessSlot(Slot):
    """A process of its own, with its own model."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.pool = self._new_pool()

    def info(self) -> SessionInfo:
        """Ask the process."""
        return self.pool.submit(_info_of_process).result()

    def submit(self, job: ShardJob) -> "Future[dict[str, Any]]":
        """Send the shard's description to the process."""
        return self.pool.submit(_run_in_process, job)

    def restart(self) -> None:
        """Start a new process."""
        self.stop()
        self.pool = self._new_pool()

    def stop(self) -> None:
        """Kill the process."""
        for process in list((self.pool._processes or {}).values()):
            process.kill()
        self.pool.shutdown(wait=True, cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        threads = max(1, usable_threads() // self.config.processes)
        return ProcessPoolExecutor(1, get_context("spawn"), _start_process, (self.config, threads))


class RaySlot(Slot):
    """A Ray actor: one GPU, or one CPU core, of the cluster."""

    def __init__(self, config: RunConfig) -> None:
        ray = _joined_ray()
        takes_gpu = config.device == "auto" and config.runs_model and "GPU" in ray.cluster_resources()
        on_gpu = config.device.startswith("cuda") or takes_gpu
        resources = {"num_gpus": 1} if on_gpu else {"num_cpus": CORES_OF_A_RAY_ACTOR}
        # Ray shows an actor its own GPU only, as the first.
        self.config = replace(config, device="cuda" if on_gpu else "cpu")
        self.actor_class = ray.remote(**resources)(ShardWorker)
        self.actor = self.actor_class.remote(self.config)

    def info(self) -> SessionInfo:
        """Ask the actor."""
        return _joined_ray().get(self.actor.info.remote())

    def submit(self, job: ShardJob) -> "Future[dict[str, Any]]":
        """Send the shard's description to the actor."""
        return self.actor.run.remote(job).future()

    def restart(self) -> None:
        """Start a new actor."""
        self.stop()
        self.actor = self.actor_class.remote(self.config)

    def stop(self) -> None:
        """Kill the actor."""
        _joined_ray().kill(self.actor)


def open_slots(config: RunConfig, on_row: Callable[[Row], None]) -> list[Slot]:
    """Return the slots of a configuration; on_row is called for the images that this process finishes itself."""
    if config.distributor == "ray":
        return [RaySlot(config) for _ in range(config.processes)]
    if config.processes == 1:
        return [LocalSlot(config, on_row)]
    return [ProcessSlot(replace(config, device=device)) for device in spread(config.device, config.processes)]


def spread(device: str, processes: int) -> list[str]:
    """Return the device of each process: `cuda` without a number means the GPUs in turn."""
    return [f"cuda:{index}" if device == "cuda" else device for index in range(processes)]


def schedule(
    slots: list[Slot], jobs: Iterable[ShardJob], max_retry: int, on_done: Callable[[dict[str, Any]], None]
) -> dict[int, Exception]:
    """Keep every slot busy until all shards are done; return the shards that failed for good, with their errors.

    A shard whose slot crashed or raised is tried again up to max_retry times. Results that cannot be written, and a
    user's mistakes, end everything at once.
    """
    waiting, idle = deque(jobs), list(slots)
    running: dict[Future[dict[str, Any]], tuple[Slot, ShardJob]] = {}
    attempts: Counter[int] = Counter()
    failed: dict[int, Exception] = {}
    while waiting or running:
        while waiting and idle:
            slot, job = idle.pop(), waiting.popleft()
            running[slot.submit(job)] = slot, job
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
                waiting.append(job)
            else:
                failed[job.shard] = error
    return failed


def _failure(future: "Future[dict[str, Any]]") -> Exception | None:
    """Return why a shard failed; raise what no other try can mend."""
    error = future.exception()
    cause = getattr(error, "cause", None) or error  # Ray wraps what an actor raised
    if isinstance(cause, UnseeError):
        raise cause
    if error is not None and not isinstance(error, Exception):
        raise error
    return error


_worker: ShardWorker | None = None
"""The worker of a process that `ProcessSlot` started; nothing else sets it."""


def _start_process(config: RunConfig, threads: int) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interruption means
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _worker = ShardWorker(config)


def _info_of_process() -> SessionInfo:
    assert _worker is not None
    return _worker.info()


def _run_in_process(job: ShardJob) -> dict[str, Any]:
    assert _worker is not None
    return _worker.run(job)


def _joined_ray() -> ModuleType:
    """Return Ray, joined to the cluster of RAY_ADDRESS or to a local one that this starts."""
    ray = require("ray", "ray", "--distributor ray")
    if not ray.is_initialized():
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        address = os.environ.get("RAY_ADDRESS")
        ray.init(address=address, log_to_driver=False) if address else ray.init(**quiet)
    return ray
