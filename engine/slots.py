"""Who runs the shards: this process, several processes, or Ray actors. A slot runs one shard after another, overlapped.

Only descriptions of shards travel; every slot reads its own pixels and writes its own results.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any

from ..errors import UnseeError
from ..threads import usable_threads
from .outputs.plan import ShardJob
from .run_config import RunConfig
from .shards.job_board import ClaimJob, JobBoard, always_ours
from .shards.machine_slots import LocalSlot, ProcessSlot
from .shards.ray_slots import open_ray_slots
from .shards.shard_worker import OnRow
from .shards.slot import Growth, LostMachineError, Slot
from .stores.store import Store
from .workers.daemon_threads import Workers
from .workers.visible_gpus import gpu_of_each, gpus_for

SECONDS_BETWEEN_LOOKS = 2.0
"""How often a cluster is asked for places that it has won."""


def open_slots(config: RunConfig, store: Store, on_row: OnRow) -> list[Slot]:
    """Return the slots of a configuration; on_row is called for each image that a process of this machine finishes."""
    if config.distributor == "ray":
        return open_ray_slots(config, store)
    device = config.device if config.runs_model else "cpu"
    count = max(1, gpus_for(device)) if config.processes == "auto" else config.processes
    if count == 1:
        return [LocalSlot(config, store, on_row)]
    return [
        ProcessSlot(config, store, on_row, gpu, threads)
        for gpu, threads in zip(gpu_of_each(device, count), shared_out(usable_threads(), count), strict=True)
    ]


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
