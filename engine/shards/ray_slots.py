"""Slots of a Ray cluster: actors, on machines that may come and go."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from ...export.runtime.model_info import ModelInfo
from ..outputs.plan import ShardJob
from ..run_config import RunConfig
from ..stores.store import Store
from ..workers.ray_cluster import (
    answer,
    check_room,
    is_gone,
    joined_ray,
    needs_of_actor,
    room,
    takes_gpus,
    wait_for_places,
)
from .open_shard import Finished
from .shard_worker import OnDone, ShardWorker, Take
from .slot import Growth, LostMachineError, Slot

RAY_THREADS = 3
"""Of an actor: one works, one waits for its messages, one gives it jobs."""


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
        return self.actor_class.remote(self.config, self.store, _here())


def _here() -> str:
    """Return the folder of this process; nothing where it is gone, as Ray removes those of submitted jobs."""
    with suppress(FileNotFoundError):
        return str(Path.cwd())
    return ""


def open_ray_slots(config: RunConfig, store: Store) -> list[Slot]:
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
