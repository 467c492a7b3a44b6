"""`unsee train`: what is wrong with data, settings or the folder is one line, and a training that is stopped goes on."""

import fcntl
import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from unsee.tests.commands.running import command, unsee
from unsee.tests.pictures import cut, encoded, picture

MASK = encoded(picture().convert("L").point(lambda level: 255 * (level > 120)), "PNG")
QUICK = ("--start", "random:squeezenet1_1", "--input-size", "32", "--batch", "2", "--epochs", "1")


@pytest.fixture
def data(tmp_path):
    """Four photographs with masks in tmp_path/data."""
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(4):
        (tmp_path / f"data/images/{number}.jpg").write_bytes(encoded(picture(), "JPEG"))
        (tmp_path / f"data/masks/{number}.png").write_bytes(MASK)
    return tmp_path / "data"


def train(folder, *words, kind="attentional", output="net", **options):
    quick = ("--training", f"folder:{folder}", *QUICK)
    return unsee("train", kind, *quick, "--output", output, *words, cwd=folder.parent, **options).err


def test_a_training_that_is_done_says_so_and_one_of_other_data_is_refused(data, tmp_path):
    train(data)
    weights = (tmp_path / "net/weights.safetensors").read_bytes()
    assert (tmp_path / "net/weights.safetensors").stat().st_mode & 0o777 == 0o644
    with Image.open(tmp_path / "net/curves.png") as curves:
        assert curves.width < 600  # the loss alone: nothing was examined
    assert "all of its 1 epochs are done already" in train(data)
    for name, suffix in (("images", "jpg"), ("masks", "png")):
        shutil.copy(data / f"{name}/0.{suffix}", data / f"{name}/new.{suffix}")
    assert "left by a training on other data: images have come or gone" in train(data, expect=2)
    assert (tmp_path / "net/weights.safetensors").read_bytes() == weights


def test_what_something_else_made_is_not_written_over(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.json").write_text("mine")
    said = train(data, output="mine", expect=2)
    assert "mine holds model.json, which no such training left there: choose another --output" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["model.json"]
    train(data)
    assert "holds a training of another kind (attentional)" in train(data, kind="promoter", expect=2)
    assert json.loads((tmp_path / "net/model.json").read_text())["kind"] == "attentional"
    assert "not a trained classifier" in unsee("train", "table", "net", cwd=tmp_path, expect=2).err


def test_an_image_that_cannot_be_learned_from_is_named(data):
    (data / "images/2.jpg").write_bytes(cut(encoded(picture(), "JPEG"), 0.9))
    for workers in ("0", "1"):
        said = train(data, "--workers", workers, expect=2)
        assert not (data.parent / "net").exists()
        assert said.count("\n") <= 2 and "unsee: 2: " in said and "unsee train check names all that is wrong" in said


def test_masks_of_another_size_are_refused_as_train_check_does(data):
    turned = Image.fromarray(np.zeros((40, 7), np.uint8))
    (data / "masks/1.png").write_bytes(encoded(turned, "PNG"))
    said = train(data, expect=2)
    assert re.search(r"unsee: 1: image \(\d+, \d+\) and objects \(40, 7\) differ in size", said.replace("\n", " "))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--learning-rate", "1e30"), "the training diverged: a loss of"),
        (("--learning-rate", "nan"), "learning_rate must be a number, got nan"),
        (("--backbone-rate", "inf"), "backbone_rate must be a number, got inf"),
    ],
)
def test_numbers_that_come_to_nothing_end_a_training(data, words, reason, tmp_path):
    assert reason in train(data, "--epochs", "4", *words, expect=2)
    assert not (tmp_path / "net/model.json").exists()


def test_an_output_that_cannot_be_written_is_said_before_anything_is_learned(data, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in train(data, output="file/net", expect=1)
    assert "training attentional" not in train(data, output="file", expect=1)


def test_two_trainings_do_not_share_a_folder(data, tmp_path):
    (tmp_path / "net").mkdir()
    with (tmp_path / "net/.training").open("w") as mark:
        mark.write("attentional")
        mark.flush()
        fcntl.flock(mark, fcntl.LOCK_EX)
        assert "another training is writing net" in train(data, expect=2)


def test_folders_that_are_not_there_are_said(tmp_path):
    said = unsee("train", "check", "folder:nowhere", cwd=tmp_path, expect=2).err
    assert "nowhere: no such folder" in said
    (tmp_path / "empty").mkdir()
    said = unsee("train", "check", "folder:empty", cwd=tmp_path, expect=2).err
    assert "no images with masks in it; name their folders, as in folder:ROOT:IMAGES:MASKS" in said.replace("\n", " ")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.proof)])
def test_a_training_that_is_stopped_goes_on_from_the_step_that_it_was_stopped_in(data, tmp_path, number):
    words = ("--training", f"folder:{data}", *QUICK, "--epochs", "12", "--threads", "1")
    unsee("train", "attentional", *words, "--output", "whole", cwd=tmp_path)
    line = command("train", "attentional", *words, "--output", "stopped")
    with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        wait_until((tmp_path / "stopped/training.pt").exists)
        process.send_signal(number)
        said = process.communicate(timeout=100)[1]
    assert process.returncode == 130 and "interrupted; the same command goes on where this one stopped" in said
    assert not (tmp_path / "stopped/model.json").exists()
    unsee("train", "attentional", *words, "--output", "stopped", cwd=tmp_path)
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


def wait_until(is_so, seconds=100):
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    assert is_so()
