"""A shard on its way: what is kept of an earlier run, where its results go, and what became of its inputs so far."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import OutputError
from ...files import write_json
from ..outputs.done_marks import is_done, shard_stats
from ..outputs.journal import Journal
from ..outputs.layout import done_mark
from ..outputs.output_formats import SINKS
from ..outputs.plan import Plan, ShardJob
from ..outputs.rows import SUCCESS, Row, Stored
from ..outputs.sink import UnstorableError
from ..plans.earlier_shard import done_shard, unfinished_shard
from ..run_config import RunConfig
from ..stores.store import Store
from ..workers.pipeline import StageClock


@dataclass(frozen=True)
class Finished:
    """A shard that is done, and the contents of its done-mark."""

    shard: int
    stats: dict[str, Any]


class OpenShard:
    """A shard from its first input to its done-mark.

    inputs: in the order of the plan, in which `store` wants their rows. size: the side of the network's grid. home: where
    the results belong. Results that cannot be written are an `OutputError`.
    """

    def __init__(self, plan: Plan, job: ShardJob, config: RunConfig, size: int, home: Store) -> None:
        self.plan, self.folder, self.number, self._home = plan, plan.folder, job.shard, home
        if job.retry is not None:
            home.bring_shard(plan, job.shard)
        self.inputs = plan.rows(job.shard)
        self.clock = StageClock()
        self.is_finishing = False
        self._counts: Counter[str] = Counter()
        self._carried = 0
        self._started = time.time()
        done = is_done(plan.folder, job.shard)
        retry = job.retry or frozenset()
        self.earlier = done_shard(plan, job.shard, retry) if done else unfinished_shard(plan, job.shard)
        self._journal = None if done else _writing(Journal, plan, job.shard)
        self._sink = _writing(SINKS[config.output_format], plan.folder, job.shard, size, config.rows_with)
        self.encode = self._sink.encode

    def store(self, row: Row, stored: Stored | None, is_carried: bool) -> Row:
        """Store an input's row and map, and return the row, which says so where the map cannot be stored."""
        with self.clock.stage("write"):
            row = self._kept(row, stored) if is_carried else self._added(row, stored)
        self._counts[row.error_code or row.status] += 1
        return row

    def finish(self, not_before: float) -> Finished:
        """Make maps and rows final, write the done-mark, and publish them; times before `not_before` are not the shard's."""
        self.is_finishing = True
        try:
            finished = Finished(self.number, self._made_final(max(self._started, not_before)))
            self._home.publish(self.plan, self.number)
            return finished
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what is not final, but the journal, by which the next run goes on."""
        self._sink.abort()
        if self._journal:
            self._journal.close()

    def _made_final(self, started: float) -> dict[str, Any]:
        mark = done_mark(self.folder, self.number)
        mark.unlink(missing_ok=True)  # now, so that rows and done-mark of a shard that is redone never differ
        with self.clock.stage("write"):
            _writing(self._sink.close)
        stats = shard_stats(self._counts, self._carried, started, time.time(), self.clock.seconds)
        _writing(write_json, mark, stats)
        if self._journal:
            self._journal.close()
            self._journal.remove()
        return stats

    def _kept(self, row: Row, stored: Stored | None) -> Row:
        self._carried += 1
        _writing(self._sink.keep, row, stored)
        return row

    def _added(self, row: Row, stored: Stored | None) -> Row:
        try:
            _writing(self._sink.add, row, stored)
        except UnstorableError as error:
            row, stored = row.failed("failed_to_store", error.code, str(error)), None
            _writing(self._sink.add, row, stored)
        if self._journal and row.status == SUCCESS:
            _writing(self._journal.add, row, stored)
        return row


def _writing(action: Callable[..., Any], *arguments: Any) -> Any:
    """Call what writes results; what the disk says against it becomes an `OutputError`."""
    try:
        return action(*arguments)
    except OSError as error:
        raise OutputError(f"results cannot be written: {error}") from error
