"""Whole runs through the command line: rows, resume, killed processes, hostile files, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.engine.inputs.sources import Sources
from unsee.engine.run_config import RunConfig
from unsee.errors import ExitCode
from unsee.export.runtime.model_info import ModelInfo
from unsee.tests.corpus import contents

FAST = ["--iterations", "3", "--number-sample-per-shard", "4", "--batch-size", "3"]


def command(*arguments):
    return [sys.executable, "-m", "unsee", *map(str, arguments)]


def unsee(*arguments, expect=ExitCode.OK):
    result = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert result.returncode == expect, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def rows_of(folder):
    return [row for path in sorted(folder.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def finished(tiny_model, photographs, tmp_path_factory):
    """An undisturbed run over the 12 photographs in 3 shards."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    unsee("run", photographs, "--output-folder", folder, "--model", tiny_model, *FAST)
    return folder


def test_one_map_and_one_row_an_input(finished, photographs):
    rows = rows_of(finished)
    assert [row["key"] for row in rows] == [f"{shard:05d}{place:04d}" for shard in range(3) for place in range(4)]
    assert {row["status"] for row in rows} == {"success"}
    for row in rows:
        saliency = Image.open(finished / f"{row['output']}.png")
        original = Image.open(row["path"])
        assert saliency.mode == "L"
        assert saliency.size == original.size == (row["width"], row["height"])
    assert {row["output"] for row in rows} == {
        str(path.relative_to(photographs).with_suffix("")) for path in photographs.rglob("*.*g")
    }


def test_rows_say_what_was_found(finished):
    for row in rows_of(finished):
        assert row["label_name"] == f"class {row['label']}"
        assert 1 / 7 <= row["score"] <= 1
        assert row["raw_max"] > 0
        assert 0 < row["map_mean"] < 1
        assert len(row["sha256"]) == 64


def test_stats_hold_counts_and_stage_times(finished):
    stats = json.loads((finished / "00001_stats.json").read_text())
    assert (stats["count"], stats["successes"], stats["failed"], stats["status_dict"]) == (4, 4, 0, {"success": 4})
    assert set(stats["stage_seconds"]) == {"read", "decode", "descent", "post", "encode", "write"}
    assert stats["end_time"] - stats["start_time"] == pytest.approx(stats["duration"])


def test_batch_size_changes_nothing(finished, tiny_model, photographs, tmp_path):
    unsee("run", photographs, "--output-folder", tmp_path, "--model", tiny_model, *FAST[:4], "--batch_size", 1)
    assert rows_of(tmp_path) == rows_of(finished)
    for row in rows_of(finished):
        map_path = f"{row['output']}.png"
        assert (tmp_path / map_path).read_bytes() == (finished / map_path).read_bytes()


def test_a_run_goes_on_with_another_batch_size(finished, tiny_model, photographs):
    message = unsee(
        "run", photographs, "--output-folder", finished, "--model", tiny_model, *FAST[:4], "--batch-size", 1
    )
    assert "3 of 3 shards are done" in message


@pytest.mark.parametrize(
    ("backend", "device", "decides"),
    [("torch", "cpu", False), ("onnxruntime", "cpu", False), ("torch-compile", "cpu", True), ("torch", "cuda:0", True)],
)
def test_batch_size_decides_only_where_a_batch_runs_as_one(backend, device, decides):
    info = ModelInfo("m", (), 224, backend, device)
    two, three = (RunConfig(Sources(("images",)), "out", model="m", batch_size=size) for size in (2, 3))
    assert (two.identity(info) != three.identity(info)) == decides


def written(folder):
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix != ".lock" and path.name != ".lock"
    }


def test_finished_run_is_not_done_again(finished, tiny_model, photographs):
    before = written(finished)
    message = unsee("run", photographs, "--output-folder", finished, "--model", tiny_model, *FAST)
    assert "3 of 3 shards are done" in message
    assert written(finished) == before


def test_changed_option_is_refused_and_overwrite_starts_anew(tiny_model, photographs, tmp_path):
    base = ("run", photographs, "--output-folder", tmp_path, "--model", tiny_model, "--number-sample-per-shard", 6)
    unsee(*base, "--iterations", 1)
    message = unsee(*base, "--iterations", 2, expect=ExitCode.USAGE)
    assert "descent.iterations: 1 then, 2 now" in message
    unsee(*base, "--iterations", 2, "--overwrite")
    assert json.loads((tmp_path / "plan.json").read_text())["identity"]["descent"]["iterations"] == 2


@pytest.mark.slow
def test_killed_run_goes_on_and_ends_with_the_same_bytes(finished, tiny_model, photographs, tmp_path):
    arguments = ("run", photographs, "--output-folder", tmp_path, "--model", tiny_model, *FAST)
    process = subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "00000_stats.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = (tmp_path / "00000_stats.json").stat().st_mtime_ns
    (tmp_path / "00001_stats.json").unlink(missing_ok=True)  # however far it got, part of the work is left
    unsee(*arguments)
    assert contents(tmp_path) == contents(finished)
    assert (tmp_path / "00000_stats.json").stat().st_mtime_ns == done


def test_half_written_shard_is_done_again(finished, tiny_model, photographs, tmp_path):
    arguments = ("run", photographs, "--output-folder", tmp_path, "--model", tiny_model, *FAST)
    unsee(*arguments)
    (tmp_path / "00001_stats.json").unlink()
    (tmp_path / "00001.parquet").write_bytes(b"half")
    (tmp_path / "04.png").write_bytes(b"half")
    (tmp_path / ".04.png.tmp").write_bytes(b"half")
    unsee(*arguments)
    assert contents(tmp_path) == contents(finished)


def test_bad_files_become_rows(tiny_model, photographs, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (30, 20), "red").save(folder / "constant.png")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not a picture")
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "cut.png").write_bytes((photographs / "01.png").read_bytes()[:80])
    message = unsee("run", folder, "--output-folder", tmp_path / "out", "--model", tiny_model, *FAST, expect=3)
    found = {Path(row["path"]).name: (row["status"], row["error_code"]) for row in rows_of(tmp_path / "out")}
    assert found == {
        "constant.png": ("success", None),
        "cut.png": ("failed_to_decode", "damaged"),
        "empty.jpg": ("failed_to_decode", "empty_file"),
        "gone.jpg": ("failed_to_read", "FileNotFoundError"),
        "pipe.jpg": ("failed_to_read", "not_a_file"),
        "text.jpg": ("failed_to_decode", "not_an_image"),
    }
    assert "6 images, 5 failed" in message
    unsee("run", folder, "--output-folder", tmp_path / "out", "--model", tiny_model, *FAST, "--max-error-rate", 0.9)


def test_all_images_bad(tiny_model, tmp_path):
    (tmp_path / "bad.jpg").touch()
    unsee("run", tmp_path / "bad.jpg", "--output-folder", tmp_path / "out", "--model", tiny_model, expect=3)


def test_dummy_output_writes_rows_but_no_maps(finished, tiny_model, photographs, tmp_path):
    unsee("run", photographs, "--output-folder", tmp_path, "--model", tiny_model, *FAST, "--output-format", "dummy")
    assert rows_of(tmp_path) == rows_of(finished)
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--device", "cuda:7"], ExitCode.UNAVAILABLE, "cuda:7 was asked for"),
        (["--backend", "abacus"], ExitCode.USAGE, "unknown backend"),
        (["--preset", "c"], ExitCode.USAGE, "unknown preset 'c'"),
        (["--iterations", "0"], ExitCode.USAGE, "iterations must be at least 1"),
        (["--number-sample-per-shard", "0"], ExitCode.USAGE, "samples per shard must be"),
        (["--model", "nowhere"], ExitCode.USAGE, "nowhere"),
    ],
)
def test_wrong_options_are_one_line(tiny_model, photographs, tmp_path, arguments, code, message):
    base = ["run", photographs, "--output-folder", tmp_path / "out", "--model", tiny_model]
    assert message in unsee(*base, *arguments, expect=code).replace("\n", " ")


def test_unwritable_output_is_one_line(tiny_model, photographs, tmp_path):
    (tmp_path / "file").touch()
    message = unsee("run", photographs, "--output-folder", tmp_path / "file/out", "--model", tiny_model, expect=2)
    assert "is no folder" in message


@pytest.mark.slow
def test_interruption_ends_with_130_and_says_how_to_go_on(tiny_model, photographs, tmp_path):
    arguments = ("run", photographs, "--output-folder", tmp_path, "--model", tiny_model, "--iterations", 10_000)
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "plan.json").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "the same command goes on" in message


@pytest.mark.proof
def test_hostile_files_one_row_each_in_bounded_memory(shared, squeezenet, tmp_path):
    files = [path for path in (shared / "data/hostile").iterdir() if path.is_file()]
    measured = f"""
import sys
from unsee.bench.command_memory import held_by
from unsee.cli.app import app
code = app(["run", {str(shared / "data/hostile")!r}, "--output-folder", {str(tmp_path)!r},
    "--model", {str(squeezenet)!r}, "--iterations", "1"], standalone_mode=False)
print(held_by())
sys.exit(code)
"""
    result = subprocess.run([sys.executable, "-c", measured], capture_output=True, text=True)
    assert result.returncode == ExitCode.FAILED_ROWS, result.stderr
    assert float(result.stdout.split()[-1]) < 2048
    rows = rows_of(tmp_path)
    assert len(rows) == len(files)
    assert sum(row["status"] == "success" for row in rows) > 150
    for row in rows:
        assert (
            (row["status"] == "success") == (tmp_path / f"{row['output']}.png").exists() == (row["error_code"] is None)
        )
