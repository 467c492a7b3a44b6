"""The rows of a plan that is being made: streamed into their file shard by shard, and given outputs of their own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...files import atomic_path
from ...parquet import column
from ..inputs.input import Input
from ..outputs.layout import Sharding
from ..outputs.output_names import fitted_bytes
from ..outputs.plan import SCHEMA, Columns, plan_columns
from ..workers.pipeline import batched
from .fingerprint import Measure, among, fingerprint, hash_array
from .identities import Places, short_hashes


@dataclass(frozen=True)
class DraftRows:
    """What was written. count, shards: of inputs and of shards. fingerprint: of the inputs."""

    count: int
    shards: int
    fingerprint: str


def sharded(inputs: Iterable[Input], shards: Sharding, first_shard: int) -> Iterator[Columns]:
    """Yield the rows of each shard, outputs cut to what a file system can hold or named by key."""
    for shard, members in enumerate(batched(inputs, shards.samples), first_shard):
        keys = [f"{shard:05d}{place:04d}" for place in range(len(members))]
        columns = plan_columns(keys, members)
        if shards.output_names == "key":
            yield columns._replace(output=[f"{key[:5]}/{key}".encode() for key in keys])
        else:
            yield columns._replace(output=[fitted_bytes(output) for output in columns.output])


def kept_shards(rows: Path, shards: int) -> Iterator[Columns]:
    """Yield the rows of a plan's shards as they are; the first plans had no suffixes."""
    file = pq.ParquetFile(rows)
    for shard in range(shards):
        table = file.read_row_group(shard)
        stored = {name: table[name].to_pylist() for name in table.column_names}
        yield Columns(*(stored.get(name) or [b""] * table.num_rows for name in Columns._fields))


def write_rows(path: Path, shards: Iterable[Columns], first_new: int, measure: Measure) -> DraftRows:
    """Stream rows into a file, a row group a shard; 8 bytes an input are all that is kept of it.

    first_new: the first shard whose outputs may still be named.
    """
    digests, outputs, count = list[int](), bytearray(), 0
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for columns, found in measure((Places(one.path, one.offset, one.row), one) for one in shards):
            writer.write_table(columns.table(found.sizes), row_group_size=len(found.sizes))
            digests.append(found.digest)
            outputs += short_hashes(columns.output)
            count += len(found.sizes)
    hashes = hash_array(outputs)
    hashes.sort()
    shared = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if len(shared):
        _tell_apart(path, shared, first_new)
    return DraftRows(count, len(digests), fingerprint(digests))


def _tell_apart(path: Path, shared: np.ndarray, first_new: int) -> None:
    """Give inputs that would write one map their extension too: a.jpg and a.png become a.jpg.png and a.png.png."""
    file = pq.ParquetFile(path)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for shard in range(file.num_row_groups):
            table = file.read_row_group(shard)
            writer.write_table(
                _told_apart(table, shared) if shard >= first_new else table, row_group_size=table.num_rows
            )


def _told_apart(table: pa.Table, shared: np.ndarray) -> pa.Table:
    outputs = table["output"].to_pylist()
    is_shared = among(shared, hash_array(short_hashes(outputs)))
    if not is_shared.any():
        return table
    rows = zip(outputs, table["suffix"].to_pylist(), is_shared, strict=True)
    told = [fitted_bytes(output + suffix) if alike else output for output, suffix, alike in rows]
    place = SCHEMA.get_field_index("output")
    return table.set_column(place, SCHEMA.field(place), column(told, SCHEMA.field(place).type))
