"""Reading parquet files through Python's own files."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq

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
