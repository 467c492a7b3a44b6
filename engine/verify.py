"""Checking a run directory: rows in = rows out, and every map is there, whole, and the one its row speaks of."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from PIL import Image

from ..errors import UnseeError
from ..names import printable
from .outputs.done_marks import is_done, read_stats
from .outputs.output_formats import SINKS, OutputFormat, map_reader
from .outputs.plan import Plan, PlannedInput, read_plan
from .outputs.rows import SUCCESS, Row, Stored
from .outputs.sink import stored_rows
from .segmentation.picture_config import stored_kind
from .stores.store import Store

NOT_DONE = "not done"


def faults(folder: Path) -> Iterator[str]:
    """Yield what is wrong with a run directory, a line each; nothing where all is well."""
    yield from faults_of(Store(folder))


def faults_of(store: Store) -> Iterator[str]:
    """Yield what is wrong with a run whose store is opened."""
    plan = read_plan(store.folder)
    for shard in range(plan.shards):
        if not is_done(plan.folder, shard):
            yield f"shard {shard:05d}: {NOT_DONE}"
            continue
        yield from (f"shard {shard:05d}: {fault}" for fault in shard_faults(store, plan, shard))


def shard_faults(store: Store, plan: Plan, shard: int) -> Iterator[str]:
    """Yield what is wrong with a shard that is done, which is brought for it."""
    store.bring_shard(plan, shard)
    try:
        yield from _shard_faults(plan, shard)
    except UnseeError as error:
        yield str(error)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        yield f"unreadable ({type(error).__name__}: {error})"
    finally:
        store.drop_shard(plan, shard)


def _shard_faults(plan: Plan, shard: int) -> Iterator[str]:
    planned, rows, stats = plan.rows(shard), stored_rows(plan.folder, shard), read_stats(plan.folder, shard)
    if [row.key for row in rows] != [member.key for member in planned]:
        yield f"{len(rows)} rows for {len(planned)} inputs, or other keys"
        return
    if (stats["count"], stats["successes"]) != (len(rows), sum(row.status == SUCCESS for row in rows)):
        yield "the counts of the done-mark are not those of the rows"
    output_format: OutputFormat = plan.identity["output_format"]
    sink, cropped = SINKS[output_format], stored_kind(plan.identity) == "crop"
    read_map = map_reader(plan.folder, shard, output_format)
    for member, row in zip(planned, rows, strict=True):
        if row.path != printable(member.input.place):
            yield f"{row.key}: row of {row.path}, planned {printable(member.input.place)}"
        if row.status == SUCCESS and sink.keeps_maps:
            yield from _map_faults(member, row, read_map(member), sink.keeps_pictures and not cropped)


def _map_faults(member: PlannedInput, row: Row, stored: Stored | None, whole: bool) -> Iterator[str]:
    parts = [("map", row.map_sha256, stored.saliency if stored else None)]
    if row.mask_sha256:
        parts.append(("mask", row.mask_sha256, stored.mask if stored else None))
    for part, sha256, data in parts:
        if data is None:
            yield f"{member.key}: the {part} of {row.path} is missing"
        elif hashlib.sha256(data).hexdigest() != sha256:
            yield f"{member.key}: the {part} of {row.path} is not the one that was written"
        elif whole and _png_size(data) != (row.width, row.height):
            yield f"{member.key}: the {part} of {row.path} has another size than the image"


def _png_size(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            return image.size
    except (OSError, SyntaxError):
        return None
