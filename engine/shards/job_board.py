"""Which slot runs which shard, and which shards are tried again."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from threading import Condition
from typing import Any

from ..outputs.plan import ShardJob
from .open_shard import Finished


class JobBoard:
    """Hands the jobs of a run to its slots, by their numbers and from any thread.

    A slot takes its next job while the last are being finished, and so holds several. Where it crashes, all of them are
    tried again, each alone in a slot from then on; a crash counts against a shard that was alone only, and more than
    `max_retry` of those make it one of `failed`. on_done: told what each done-mark holds, of one shard at a time.
    """

    def __init__(
        self, jobs: Iterable[ShardJob], slots: int, max_retry: int, on_done: Callable[[dict[str, Any]], None]
    ) -> None:
        self.failed: dict[int, Exception] = {}
        self._waiting = deque(jobs)
        self._held: list[dict[int, ShardJob]] = [{} for _ in range(slots)]
        self._suspects: set[int] = set()
        self._crashes: Counter[int] = Counter()
        self._max_retry, self._on_done = max_retry, on_done
        self._is_closed = False
        self._changed = Condition()

    def wait(self) -> bool:
        """Wait until a job can be taken, and tell whether there is one: none comes any more once none is held."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting or not any(self._held))
            return bool(self._waiting) and not self._is_closed

    def take(self, slot: int) -> ShardJob | None:
        """Return the next job of a slot; None where there is none for it until it has finished those that it holds."""
        with self._changed:
            if not self._waiting or (self._held[slot] and not self._may_join(slot)):
                return None
            job = self._waiting.popleft()
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

    def close(self) -> None:
        """Give no job any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _put_back(self, job: ShardJob, error: Exception) -> None:
        if self._crashes[job.shard] > self._max_retry:
            self.failed[job.shard] = error
        else:
            self._waiting.append(job)

    def _may_join(self, slot: int) -> bool:
        """Tell whether a slot may take the next job beside others: no suspect, and none that an idle slot could take."""
        idle = sum(not held for held in self._held)
        suspect = self._suspects & {*self._held[slot], self._waiting[0].shard}
        return len(self._waiting) > idle and not suspect
