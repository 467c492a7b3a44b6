"""A run that is killed while it plans many inputs leaves no plan in force and no process, and is run again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from unsee.tests.commands.running import command, rows_of, unsee
from unsee.threads import cores

COUNT = 30_000
"""Inputs: more than are measured without a process beside."""
FAST = ("--method", "rbd", "--number-sample-per-shard", 7000)


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    """A list of files that are not there."""
    path = tmp_path_factory.mktemp("listed") / "list.txt"
    path.write_text("".join(f"none/{number:06d}.jpg\n" for number in range(COUNT)))
    return path


def children_of(process: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in _read(task / "children").split()
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread has ended
        return ""


def is_running(process: int) -> bool:
    status = _read(Path(f"/proc/{process}/status"))
    return bool(status) and "State:\tZ" not in status


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are told by /proc")
@pytest.mark.proof
def test_killed_while_planning_and_run_again(listing, tmp_path):
    run = ("run", listing, "-o", tmp_path / "out", *FAST)
    process = subprocess.Popen(command(*run), stderr=subprocess.DEVNULL)
    beside: set[int] = set()
    wait_until(lambda: beside.update(children_of(process.pid)) or beside or (tmp_path / "out/plan.json").exists())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert beside or cores() == 1
    wait_until(lambda: not any(map(is_running, beside)))
    assert not (tmp_path / "out/plan.json").exists() and not list((tmp_path / "out").glob("0*"))

    said = unsee(*run, expect=3).err
    assert f"{COUNT} images, {COUNT} failed" in said
    assert [row["path"] for row in rows_of(tmp_path / "out")] == [
        f"{listing.parent}/none/{n:06d}.jpg" for n in range(COUNT)
    ]
    assert not (tmp_path / "out/.plan.parquet.tmp").exists()
    assert pq.read_metadata(tmp_path / "out/plan.parquet").num_row_groups == 5
    assert "nothing left to do" in unsee(*run, expect=3).err
    listing.with_name("more.txt").write_text(f"{listing.read_text()}none/new.jpg\n")
    other = unsee("run", listing.with_name("more.txt"), "-o", tmp_path / "out", *FAST, expect=2).err
    assert "was planned for other inputs (1 new" in other


def test_planning_loads_nothing_that_computes(listing, tmp_path):
    arguments = (
        "-X",
        "importtime",
        "-m",
        "unsee",
        "run",
        listing,
        "-o",
        tmp_path / "out",
        "--part",
        "1/30",
        "--dry-run",
    )
    found = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in found.stderr.splitlines()}
    assert "pyarrow" in loaded and not loaded & {"numba", "pandas", "torch", "onnxruntime"}
