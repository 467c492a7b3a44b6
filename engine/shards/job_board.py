"""Which slot runs which shard, and which shards are tried again."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from threading import Condition
from typing import Any, TypeAlias

from ..outputs.plan import ShardJob
from ..stores.store import Claimed
from .open_shard import Finished

ClaimJob: TypeAlias = Callable[[ShardJob], Claimed]
SECONDS_BETWEEN_LOOKS = 0.5
"""How long nothing is asked again where all that waits is others' work."""


def always_ours(_: ShardJob) -> Claimed:
    """Claim a job where nobody else runs the plan."""
    return "ours"


class JobBoard:
    """Hands the jobs of a run to its slots, by their numbers and from any thread.

    A slot takes its next job while the last are being finished, and so holds several. Where it crashes, all of them are
    tried again, each alone in a slot from then on; a crash counts against a shard that was alone only, and more than
    `max_retry` of those make it one of `failed`. on_done: told what each done-mark holds, of one shard at a time. claim:
    asked of each job whether it is ours to do, where other runs share the plan; what others do is waited for.
    """

    def __init__(
        self,
        jobs: Iterable[ShardJob],
        slots: int,
        max_retry: int,
        on_done: Callable[[dict[str, Any]], None],
        claim: ClaimJob = always_ours,
    ) -> None:
        self.failed: dict[int, Exception] = {}
        self._waiting = deque(jobs)
        self._held: list[dict[int, ShardJob]] = [{} for _ in range(slots)]
        self._suspects: set[int] = set()
        self._crashes: Counter[int] = Counter()
        self._max_retry, self._on_done, self._claim = max_retry, on_done, claim
        self._next_look = 0.0
        self._is_closed = False
        self._changed = Condition()

    def wait(self) -> bool:
        """Wait until a job can be taken, and tell whether there is one: none comes any more once none is held."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting or not any(self._held))
            if self._waiting:
                self._changed.wait_for(lambda: self._is_closed, self._next_look - time.monotonic())
            return bool(self._waiting) and not self._is_closed

    def take(self, slot: int) -> ShardJob | None:
        """Return the next job of a slot; None where there is none for it until it has finished those that it holds."""
        with self._changed:
            if not self._waiting or (self._held[slot] and not self._may_join(slot)):
                return None
            job = self._claimed(alone=not self._held[slot])
            if job:
                self._held[slot][job.shard] = job
            return job

    def done(self, slot: int, finished: Finished) -> None:
        """Count a shard of a slot as done."""
        with self._changed:
            del self._held[slot][finished.shard]
            self._on_done(finished.stats)
            self._changed.notify_all()

    def crashed(self, slot: int, error: Exception) -> bool:
        """Take back what a slot holds that crashed; tell whether it is still of use."""
        with self._changed:
            jobs = [*self._held[slot].values()]
            self._held[slot].clear()
            for job in jobs:
                self._suspects.add(job.shard)
                self._crashes[job.shard] += len(jobs) == 1
                self._put_back(job, error)
            self._changed.notify_all()
            return not self._is_closed

    def lost(self, slot: int) -> None:
        """Take back what a slot holds whose machine is no more: none of it is to blame."""
        with self._changed:
            self._waiting.extend(self._held[slot].values())
            self._held[slot].clear()
            self._changed.notify_all()

    def add_slot(self) -> int:
        """Return the number of one more slot."""
        with self._changed:
            self._held.append({})
            return len(self._held) - 1

    @property
    def is_over(self) -> bool:
        """Whether nothing is waiting and nothing held."""
        with self._changed:
            return self._is_closed or not (self._waiting or any(self._held))

    def close(self) -> None:
        """Give no job any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _claimed(self, alone: bool) -> ShardJob | None:
        """Return the first waiting job that is ours; what others have done is dropped, and what they do waits.

        alone: whether its slot holds no other.
        """
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            state = self._claim(job) if alone or job.shard not in self._suspects else "another's"
            if state == "ours":
                return job
            if state == "another's":
                self._waiting.append(job)
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        self._changed.notify_all()
        return None

    def _put_back(self, job: ShardJob, error: Exception) -> None:
        if self._crashes[job.shard] > self._max_retry:
            self.failed[job.shard] = error
        else:
            self._waiting.append(job)

    def _may_join(self, slot: int) -> bool:
        """Tell whether a slot may take a job beside others: it holds no suspect, and no idle slot could take the job."""
        idle = sum(not held for held in self._held)
        return len(self._waiting) > idle and not self._suspects & self._held[slot].keys()
