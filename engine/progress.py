"""The progress bar of a run: images a second, failures, time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .rows import SUCCESS, Row


class RunProgress:
    """Counts inputs as they are finished: one by one in this process, by shards elsewhere."""

    def __init__(self, console: Console) -> None:
        self.done = 0
        self.failed = 0
        self._by_rows = False
        self._started = time.monotonic()
        columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn()
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("images", total=None, speed="")

    @property
    def rate(self) -> float:
        """Inputs a second since the bar was shown."""
        return self.done / (time.monotonic() - self._started)

    @contextmanager
    def shown(self, total: int) -> Iterator[None]:
        """Show the bar for `total` inputs."""
        self._started = time.monotonic()
        self._bar.update(self._task, total=total)
        with self._bar:
            yield

    def count_row(self, row: Row) -> None:
        """Count an input that this process has finished."""
        self._by_rows = True
        self._add(1, int(row.status != SUCCESS))

    def count_shard(self, stats: dict[str, Any]) -> None:
        """Count a shard that another process has finished."""
        if not self._by_rows:
            self._add(stats["count"], stats["failed"])

    def _add(self, count: int, failed: int) -> None:
        self.done += count
        self.failed += failed
        speed = f"{self.rate:.1f} images/s, {self.failed} failed"
        self._bar.update(self._task, completed=self.done, speed=speed)
