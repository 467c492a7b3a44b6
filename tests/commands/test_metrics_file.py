"""`--metrics-file`: what Prometheus' textfile collector reads of a run, while it goes on and after it."""

import subprocess
import time

import pytest

from unsee.engine.progress import RunProgress
from unsee.engine.workers.metrics_file import kept_metrics
from unsee.terminal import stderr
from unsee.tests.commands.running import command, unsee

FAST = ("--method", "rbd", "--number-sample-per-shard", 3)


def figures(path):
    """Return the values of a file by name and label."""
    found = {}
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            assert line.split()[1] in ("HELP", "TYPE")
            continue
        name, _, value = line.rpartition(" ")
        found[name.replace('folder="out"', "").replace("{,", "{").replace("{}", "")] = float(value)
    return found


def test_the_file_says_what_the_run_did(photographs, tmp_path):
    (tmp_path / "in").mkdir()
    for path in sorted(photographs.glob("*.*g")):
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in/cut.jpg").write_bytes((photographs / "00.jpg").read_bytes()[:200])
    unsee("run", "in", "-o", "out", "--metrics-file", "run.prom", *FAST, cwd=tmp_path, expect=3)
    found = figures(tmp_path / "run.prom")
    assert found["unsee_images_planned"] == found["unsee_images_total"] == 11
    assert found["unsee_shards_total"] == 4 and found["unsee_run_active"] == 0
    assert sum(value for name, value in found.items() if name.startswith("unsee_images_failed_total")) == 1
    assert found['unsee_stage_seconds_total{stage="decode"}'] > 0 and found["unsee_images_per_second"] > 0
    assert 0 < time.time() - found["unsee_run_update_time_seconds"] < 600
    unsee("run", "in", "-o", "out", "--metrics-file", "run.prom", *FAST, cwd=tmp_path, expect=3)
    again = figures(tmp_path / "run.prom")
    assert (again["unsee_images_planned"], again["unsee_images_total"]) == (0, 0)
    assert again["unsee_run_start_time_seconds"] > found["unsee_run_start_time_seconds"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "run.prom"]


def test_it_is_there_from_the_beginning_and_says_that_the_run_goes_on(photographs, tmp_path):
    words = ("run", photographs, "-o", "out", "--metrics-file", "run.prom", *FAST)
    with subprocess.Popen(command(*words), cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / "run.prom").exists():
            time.sleep(0.01)
        text = (tmp_path / "run.prom").read_text()
    assert process.returncode == 0
    assert 'unsee_run_active{folder="out"} 1' in text or figures(tmp_path / "run.prom")["unsee_run_active"] == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [("figures.txt", "files that end in .prom: call it so"), ("none/run.prom", "there is no folder none")],
)
def test_a_name_that_is_none_is_said_before_anything_runs(name, message, photographs, tmp_path):
    said = unsee("run", photographs, "-o", "out", "--metrics-file", name, *FAST, cwd=tmp_path, expect=2).err
    assert message in said and not (tmp_path / "out").exists()


def test_several_processes_are_counted_together(photographs, tmp_path):
    unsee("run", photographs, "-o", "out", "--processes", 2, "--metrics-file", "run.prom", *FAST, cwd=tmp_path)
    found = figures(tmp_path / "run.prom")
    assert (found["unsee_images_total"], found["unsee_shards_total"]) == (12, 4)


def test_it_is_renewed_and_a_full_disk_ends_no_run(tmp_path, caplog):
    progress = RunProgress(stderr())
    with kept_metrics(str(tmp_path / "run.prom"), 'a "b"\\\n', progress, every=0.02):
        first = (tmp_path / "run.prom").read_text()
        progress.count_shard(
            {
                "count": 5,
                "failed": 2,
                "status_dict": {"success": 3, "x": 2},
                "carried": 0,
                "stage_seconds": {"read": 1.5},
            }
        )
        time.sleep(0.2)
        text = (tmp_path / "run.prom").read_text()
    assert 'unsee_images_total{folder="a \\"b\\"\\\\\\n"} 0' in first
    assert (
        'unsee_images_total{folder="a \\"b\\"\\\\\\n"} 5' in text
        and 'code="x"} 2' in text
        and 'stage="read"} 1.5' in text
    )
    with kept_metrics(str(tmp_path / "gone/run.prom"), "x", progress, every=0.01):
        time.sleep(0.1)
    assert caplog.text.count("the run goes on without it") == 1
