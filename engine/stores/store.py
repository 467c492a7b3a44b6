"""Where the results of a run belong, and how a finished shard gets there: nothing else of the engine knows.

All work is done in a folder of this machine. `Store` is the case where that folder is the place itself.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ...errors import UnseeError
from ..outputs.layout import rows_path
from ..outputs.plan import Plan, ShardJob, read_plan
from ..workers.interruption import locked

Part = Literal["marks", "rows", "everything"]
"""How much of a run's results a reader needs."""
Claimed = Literal["ours", "another's", "done"]


class OutdatedPlanError(UnseeError):
    """Another run has put a plan in force since this one looked."""


class Store:
    """A folder of this machine: what is made there is where it belongs, and nothing is to be brought or published.

    folder: where the work is done, known inside `held` and `opened`. May be sent to another process of this machine.
    """

    folder: Path
    is_remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """What the user calls the place."""
        return str(self.folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for the driver of a run during the block."""
        with locked(self.folder):
            yield

    @contextmanager
    def opened(self, part: Part = "marks") -> Iterator[None]:  # noqa: ARG002
        """Have a part of a run's results in the folder during the block, for reading."""
        yield

    def elsewhere(self) -> "Store":
        """Return the store for a worker that may be on another machine."""
        return self

    def plan(self) -> Plan:
        """Return the plan, for a worker."""
        return read_plan(self.folder)

    def bring_plan(self, with_rows: bool) -> None:
        """Bring the plan and the done-marks of an earlier run; with_rows: the rows of its shards, too."""

    def bring_marks(self) -> None:
        """Bring the done-marks that others have written."""

    def refuse_inputs(self, places: Iterable[str]) -> None:
        """Raise `UnseeError` where one of them holds the results, or is among them; of a folder `OverlapCheck` says it."""

    def publish_plan(self) -> None:
        """Put the folder's plan in force; raises `OutdatedPlanError` where another run has done so meanwhile."""

    def forget(self, names: Callable[[], Iterable[str]]) -> None:
        """Remove what an earlier run made; names: returns those of its files."""

    def rows(self, shard: int) -> Path:
        """Return the file of a finished shard's rows."""
        return rows_path(self.folder, shard)

    def bring_shard(self, plan: Plan, shard: int) -> None:
        """Bring all files of a shard that is done."""

    def drop_shard(self, plan: Plan, shard: int) -> None:
        """Remove the files that were brought of a shard, but for its done-mark."""

    def publish(self, plan: Plan, shard: int) -> None:
        """Make a shard final whose files and done-mark are in the folder."""

    def claim(self, job: ShardJob) -> Claimed:  # noqa: ARG002
        """Tell whether a job is ours to do, another's who is at it, or done by another."""
        return "ours"

    def publish_file(self, path: Path) -> str:
        """Make a file final that was written into the folder beside the results, and return what it is called."""
        return str(path)

    def close(self) -> None:
        """Remove what nothing needs any more: the run is finished."""
