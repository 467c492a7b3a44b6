"""Maps and masks in columns of the rows."""

from pathlib import Path

import pyarrow.parquet as pq

from .layout import rows_path
from .rows import MAP_COLUMN, MASK_COLUMN, Stored
from .sink import MapReader, Planned, Sink, stored_or_none


class ParquetSink(Sink):
    """The PNG bytes in columns of the rows."""

    maps_in_rows = keeps_maps = in_archive = keeps_pictures = True

    @classmethod
    def reader(cls, folder: Path, shard: int) -> MapReader:
        """See `Sink.reader`."""
        names = ("key", MAP_COLUMN, MASK_COLUMN)
        keys, *images = (pq.read_table(rows_path(folder, shard), columns=[name]).column(0) for name in names)
        places = {key: place for place, key in enumerate(keys.to_pylist())}

        def read(planned: Planned) -> Stored | None:
            place = places.get(planned.key)
            return None if place is None else stored_or_none(*(column[place].as_py() for column in images))

        return read


SINK = ParquetSink
