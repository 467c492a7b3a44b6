"""What became of the inputs of a run: planned place, row and stored map, whatever format the run keeps its maps in."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...engine.outputs.done_marks import done_shards
from ...engine.outputs.output_formats import SINKS, OutputFormat, map_reader
from ...engine.outputs.plan import Plan, PlannedInput
from ...engine.outputs.rows import SUCCESS, Row, Stored
from ...engine.outputs.sink import stored_rows

PICTURE_FORMATS = tuple(name for name, sink in SINKS.items() if sink.keeps_pictures)
"""Formats of a run's output that hold pictures of its maps."""


@dataclass(frozen=True)
class Finished:
    """An input of a finished shard with its row and its stored map, PNG bytes; None for a failure or an array."""

    planned: PlannedInput
    row: Row
    data: bytes | None


def finished_inputs(plan: Plan) -> Iterator[Finished]:
    """Yield what became of every input of the finished shards, in the plan's order."""
    output_format: OutputFormat = plan.identity["output_format"]
    for shard in done_shards(plan.folder, plan.shards):
        read_map = map_reader(plan.folder, shard, output_format)
        for planned, row in zip(plan.rows(shard), stored_rows(plan.folder, shard), strict=True):
            has_map = row.status == SUCCESS and output_format in PICTURE_FORMATS
            yield Finished(planned, row, _saliency(read_map(planned)) if has_map else None)


def _saliency(stored: Stored | None) -> bytes | None:
    return stored.saliency if stored else None
