"""How far a long command is: a bar on a terminal, a line every so often in a log."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .outputs.rows import SUCCESS, Row

SECONDS_BETWEEN_LINES = 30.0
SHORTEST_SECONDS = 1.0
"""Ends of shards that follow one another faster share a line."""
DIGITS_OF_PLACE = 4
"""The end of a row's key: its place in the shard; what is before is the shard."""


Watch = Callable[[int, int | None, int], None]


class Progress:
    """Counts what is finished, from any thread, and shows it with the rate, the failures and the time left.

    noun: what is counted, in the plural. interval: seconds between two lines where the console is no terminal; the first
    result and the end have lines of their own.
    """

    def __init__(self, console: Console, noun: str = "images", interval: float = SECONDS_BETWEEN_LINES) -> None:
        self.console, self.noun, self.interval = console, noun, interval
        self.done = 0
        self.failed = 0
        self.total: int | None = None
        self._written: int | None = None
        self._started = self._last_line = time.monotonic()
        self._lock = Lock()
        self._ended = Event()
        columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn()
        self._bar = Bar(*columns, console=console)
        self._task = self._bar.add_task(noun, total=None, speed="")

    @property
    def rate(self) -> float:
        """What is finished in a second, since it was shown."""
        return self.done / self.seconds

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return max(time.monotonic() - self._started, 1e-9)

    @contextmanager
    def shown(self, total: int | None) -> Iterator[None]:
        """Show the progress towards `total`, None where it is not known."""
        self.total = total
        self._started = self._last_line = time.monotonic()
        self._bar.update(self._task, total=total)
        with ExitStack() as stack:
            stack.enter_context(self._bar if self.console.is_terminal else self._lines())
            yield

    def count(self, done: int, failed: int = 0) -> None:
        """Add to what is finished; failed: how many of `done` failed."""
        with self._lock:
            first = done > 0 and self.done == 0
            self.done += done
            self.failed += failed
        if self.console.is_terminal:
            self._bar.update(self._task, completed=self.done, speed=self._speed(), refresh=first)
        elif first:
            self.mark()

    def mark(self) -> None:
        """Write a line into a log now, at the end of a part of the work."""
        if not self.console.is_terminal:
            self._last_line, self._written = time.monotonic(), self.done
            with suppress(OSError):  # a log that nobody reads any more ends no work
                self.console.print(self._line(), markup=False, highlight=False, soft_wrap=True)
                self.console.file.flush()

    def mark_part(self) -> None:
        """As `mark`, unless the last line has only just been written."""
        if time.monotonic() - self._last_line >= SHORTEST_SECONDS:
            self.mark()

    @contextmanager
    def _lines(self) -> Iterator[None]:
        self._ended.clear()
        clock = Thread(target=self._write_lines, daemon=True)
        clock.start()
        try:
            yield
            if (self._written or 0) != self.done:
                self.mark()
        finally:
            self._ended.set()
            clock.join()

    def _write_lines(self) -> None:
        while not self._ended.wait(self._last_line + self.interval - time.monotonic()):
            if time.monotonic() - self._last_line >= self.interval:
                self.mark()

    def _speed(self) -> str:
        return f"{rounded(self.rate)} {self.noun}/s, {self.failed} failed"

    def _line(self) -> str:
        of_all = "" if self.total is None else f" of {self.total}"
        speed = f"{rounded(self.rate)} {self.noun}/s"
        return f"{self.done}{of_all} {self.noun}, {self.failed} failed, {speed}{self._time_left()}"

    def _time_left(self) -> str:
        if not self.total or not self.done or self.done >= self.total:
            return ""
        return f", {_clock_time((self.total - self.done) / self.rate)} left" if self.rate else ""


class RunProgress(Progress):
    """Counts the inputs of a run: one by one where this machine's processes finish them, by shards elsewhere.

    watch: called with what is done, the total and what failed whenever that changes.
    """

    def __init__(self, console: Console, interval: float = SECONDS_BETWEEN_LINES, watch: Watch | None = None) -> None:
        super().__init__(console, "images", interval)
        self._watch = watch
        self._by_rows = False
        self.shards = 0
        self.carried = 0
        """Inputs of shards whose maps an earlier run had made."""
        self.codes: Counter[str] = Counter()
        """Failed inputs by their error codes."""
        self.stage_seconds: Counter[str] = Counter()
        self._seen: dict[str, int] = {}
        """How many inputs of each shard are counted: a shard that is tried again brings the same ones once more."""

    @property
    def made(self) -> int:
        """What this run has finished itself."""
        return self.done - self.carried

    @property
    def rate(self) -> float:
        """What this run finishes in a second, since it was shown."""
        return self.made / self.seconds

    def count_row(self, row: Row) -> None:
        """Count an input that has just been finished."""
        self._by_rows = True
        shard, place = row.key[:-DIGITS_OF_PLACE], int(row.key[-DIGITS_OF_PLACE:])
        if place >= self._seen.get(shard, 0):
            self._seen[shard] = place + 1
            if row.status != SUCCESS:
                self.codes[row.error_code or row.status] += 1
            self.count(1, int(row.status != SUCCESS))

    def count(self, done: int, failed: int = 0) -> None:
        """See `Progress.count`."""
        super().count(done, failed)
        if self._watch:
            self._watch(self.done, self.total, self.failed)

    def count_shard(self, stats: dict[str, Any]) -> None:
        """Count a shard, unless its inputs have been counted one by one."""
        self.shards += 1
        self.carried += stats["carried"]
        self.stage_seconds.update(stats["stage_seconds"])
        if not self._by_rows:
            self.codes.update({code: count for code, count in stats["status_dict"].items() if code != SUCCESS})
            self.count(stats["count"], stats["failed"])
        self.mark_part()


def rounded(rate: float) -> str:
    """Return a rate to one decimal place, or a small one to two digits."""
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"


def _clock_time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
