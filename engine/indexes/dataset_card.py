"""The card by which Hugging Face's `datasets` reads the rows of a run, its maps as pictures."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import UnseeError
from ...files import write_bytes
from ..outputs.done_marks import is_done
from ..outputs.layout import rows_path
from ..outputs.plan import read_plan
from ..outputs.rows import MAP_COLUMN, MASK_COLUMN
from .own_files import refuse_strangers

CARD_FILE = "README.md"
MARK = "rows of a run of unsee"
"""What tells our card from one of somebody else's."""
ROWS = "[0-9][0-9][0-9][0-9][0-9].parquet"
TYPES = {"bool": "bool", "double": "float64"}
"""Names of `datasets` for Arrow's types, where they differ."""


def write_card(folder: Path) -> Path:
    """Write README.md of a run: which files hold its rows, and what is in their columns; return its path.

    Raises `UnseeError` where no shard of the run is done.
    """
    plan, path = read_plan(folder), folder / CARD_FILE
    refuse_strangers(path, MARK)
    done = next((shard for shard in range(plan.shards) if is_done(folder, shard)), None)
    if done is None:
        raise UnseeError(f"{folder}: no shard is done yet")
    schema = pq.read_schema(rows_path(folder, done))
    features = "\n".join(line for column in schema for line in _feature(column))
    header = (
        f"configs:\n- config_name: default\n  data_files: {json.dumps(ROWS)}\ndataset_info:\n  features:\n{features}"
    )
    text = f"---\n# {MARK}\n{header}\n---\nSaliency maps: a row for every image, failures included.\n"
    write_bytes(path, text.encode())
    return path


def _feature(column: pa.Field) -> list[str]:
    """Return the lines of YAML for a column."""
    kind = column.type
    name = f"  - name: {column.name}"
    if column.name in (MAP_COLUMN, MASK_COLUMN):
        return [name, "    dtype: image"]
    if pa.types.is_list(kind):
        return [name, f"    list: {_dtype(kind.value_type)}"]
    if pa.types.is_struct(kind):
        inner = [line for part in kind for line in _feature(part)]
        return [name, "    struct:", *(f"  {line}" for line in inner)]
    return [name, f"    dtype: {_dtype(kind)}"]


def _dtype(kind: pa.DataType) -> str:
    return TYPES.get(str(kind), str(kind))
