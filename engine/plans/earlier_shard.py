"""What an earlier run left of a shard: of one that is done its rows and maps, of one that is not done its journal."""

from dataclasses import dataclass, replace

from ...errors import UnseeError
from ...names import printable
from ..outputs.journal import journaled
from ..outputs.output_formats import map_reader
from ..outputs.plan import Plan, PlannedInput
from ..outputs.rows import SUCCESS, Retry, Row, Stored
from ..outputs.sink import MapReader, is_whole, no_maps, stored_rows


@dataclass(frozen=True)
class Carried:
    """What an earlier run left of one input: its row and its map."""

    row: Row
    stored: Stored | None


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left of a shard, and what of it is kept.

    rows: by key. retry: error codes that are tried again. A success is kept where its map is still the one that its row
    speaks of.
    """

    rows: dict[str, Row]
    maps: MapReader
    retry: Retry
    maps_are_kept: bool = True

    def kept(self, planned: PlannedInput) -> Carried | None:
        """Return what an input keeps, None where it is to be done again."""
        row = self.rows.get(planned.key)
        if row is None or printable(row.output) != printable(planned.input.output):
            return None
        row = replace(row, path=planned.input.place, output=planned.input.output)  # stored rows have printable names
        if row.status != SUCCESS:
            return None if self.retry == "all" or row.error_code in self.retry else Carried(row, None)
        if not self.maps_are_kept:
            return Carried(row, None)
        try:
            stored = self.maps(planned)
        except (OSError, ValueError, KeyError):
            return None
        return Carried(row, stored) if is_whole(row, stored) else None


def done_shard(plan: Plan, shard: int, retry: Retry) -> Earlier:
    """Open what is left of a shard that is done; nothing of what cannot be read."""
    try:
        rows = {row.key: row for row in stored_rows(plan.folder, shard)}
        maps = map_reader(plan.folder, shard, plan.files.output_format)
    except UnseeError:
        rows, maps = {}, no_maps
    return Earlier(rows, maps, retry, plan.files.sink.keeps_maps)


def unfinished_shard(plan: Plan, shard: int) -> Earlier:
    """Open what the journal keeps of a shard that is not done."""
    return Earlier(*journaled(plan, shard), retry="all", maps_are_kept=plan.files.sink.keeps_maps)
