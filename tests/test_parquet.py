"""Reading parquet files through Python's own files."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.parquet import column

COUNTED = """
import os, sys
from unsee.parquet import Table
before = len(os.listdir("/proc/self/task"))
with open(sys.argv[1], "rb") as file:
    table = Table(file)
    assert table.read(["a"]).num_rows == 3 and list(table.values("b")) == ["x", "y", None]
    assert table.row_group(0, ["a"]).column(0).to_pylist() == [1, 2, 3]
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_no_thread_of_arrow_holds_the_file_when_the_process_ends(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}), path)
    found = subprocess.run(
        [sys.executable, "-c", COUNTED, path], capture_output=True, text=True, env=os.environ, check=True
    )
    assert found.stdout == "0\n"


COLUMNS = [
    (pa.binary(), [b"a", b"", b"\xff\0b"]),
    (pa.binary(), [b"a", None, b"", *[b"b"] * 9]),
    (pa.string(), ["a", None, "\u00e4"]),
    (pa.string(), [None, None]),
    (pa.int64(), [1, None, -(2**63), *range(9)]),
    (pa.int64(), [0, 5]),
    (pa.int64(), []),
    (pa.binary(), []),
]


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
def test_column_is_the_array_that_arrow_makes(kind, values):
    found = column(values, kind)
    found.validate(full=True)
    assert found.equals(pa.array(values, kind)) and found.null_count == values.count(None)


def test_column_imports_no_pandas():
    code = (
        "import sys, pyarrow as pa; from unsee.parquet import column; column([b'a'], pa.binary()); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pandas" not in found.stdout.split()
