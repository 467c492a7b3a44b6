"""Runs of several shards: the next one is read and descended while the last one is finished, and a crash costs neither."""

import os
import signal

from unsee.tests.commands.running import statuses, unsee
from unsee.tests.commands.test_processes import descendants, started, waited

SLOW_DISK = """
import os, time

fsync = os.fsync

def slow(descriptor):
    time.sleep(SECONDS)
    fsync(descriptor)

os.fsync = slow
"""
SMALL = ("--method", "saliency-filters", "--number-sample-per-shard", 3, "--batch-size", 2)


def slow_disk(folder, seconds):
    """Return the environment in which forcing a file to disk takes so long."""
    (folder / "plugin").mkdir()
    (folder / "plugin/sitecustomize.py").write_text(SLOW_DISK.replace("SECONDS", str(seconds)))
    path = os.pathsep.join([str(folder / "plugin"), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path.rstrip(os.pathsep)}


def maps_of(out):
    """The maps of a run in the order in which they were written."""
    return sorted(out.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)


def test_the_next_shard_does_not_wait_for_the_done_mark_of_the_last(photographs, tmp_path):
    out, env = tmp_path / "out", slow_disk(tmp_path, 0.1)
    unsee("run", photographs, "--output-folder", out, *SMALL, env=env)
    first_done = min(path.stat().st_mtime_ns for path in out.glob("*_stats.json"))
    begun = [path for path in maps_of(out) if path.stat().st_mtime_ns < first_done]
    assert len(begun) > 3
    assert len(statuses(out)) == 12
    assert "every row and map is there" in unsee("verify", out).out


def test_a_crash_with_two_shards_in_flight_loses_nothing(photographs, tmp_path):
    out, env = tmp_path / "out", slow_disk(tmp_path, 0.3)
    driver = started(
        "run", photographs, "--output-folder", out, *SMALL, "--processes", 2, "--max-shard-retry", 0, env=env
    )
    waited(lambda: len(maps_of(out)) > 6)
    assert not list(out.glob("*_stats.json"))
    os.kill(descendants(driver.pid)[0], signal.SIGKILL)
    assert driver.wait(120) == 0
    assert {status for status, _ in statuses(out).values()} == {"success"}
    assert len(statuses(out)) == 12
    assert "every row and map is there" in unsee("verify", out).out
    assert not list(out.glob(".*"))
