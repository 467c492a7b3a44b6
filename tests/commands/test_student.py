"""A student from photographs without masks: trained, killed and taken up, run, exported and checked as users do it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from safetensors.numpy import load_file

from unsee.engine.teaching import teaching
from unsee.engine.teaching.teaching import train_student
from unsee.errors import UnseeError
from unsee.tests.commands.running import bytes_below, rows_of, unsee
from unsee.tests.killing import at_save, killed_after_saving
from unsee.train.students.student_config import StudentConfig

SIDE = 64
LIGHT = ("--input-size", SIDE, "--width", 8, "--epochs", 1, "--batch", 4, "--threads", 1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Fourteen photographs of a bright ellipse, one of them damaged, and the masks of the first four."""
    folder = tmp_path_factory.mktemp("scenes")
    random = np.random.default_rng(0)
    for name in ("photographs", "labelled/images", "labelled/masks"):
        (folder / name).mkdir(parents=True)
    for number in range(14):
        height, width = 70 + number, 91 - number
        rows, columns = np.mgrid[:height, :width]
        row, column = random.uniform(0.35, 0.65, 2) * (height, width)
        inside = ((rows - row) / 20) ** 2 + ((columns - column) / 16) ** 2 < 1
        pixels = random.integers(0, 90, (height, width, 3)) + 150 * inside[..., None]
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(folder / f"photographs/{number:02d}.png")
        if number < 4:
            picture.save(folder / f"labelled/images/{number}.png")
            Image.fromarray(inside.astype(np.uint8) * 255).save(folder / f"labelled/masks/{number}.png")
    (folder / "photographs/13.png").write_bytes((folder / "photographs/13.png").read_bytes()[:99])
    return folder


@pytest.fixture(scope="module")
def student(scenes, tiny_model, tmp_path_factory):
    """A student of the tiny model, trained by the command, with what the command said."""
    folder = tmp_path_factory.mktemp("student")
    words = ("--teacher", tiny_model, "--start", tiny_model, "--rounds", 2, "--settled", 0, *LIGHT)
    said = unsee("train", "student", scenes / "photographs", "--output", "student", *words, cwd=folder).err
    return folder / "student", said, words


def test_photographs_become_a_map_network(student, scenes, tmp_path):
    folder, said, _ = student
    assert "maps by teacher 1 of 1" in said and "round 2: learns from" in said
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["photographs"] == 13 and len(figures["rounds"]) == 2
    described = json.loads((folder / "model.json").read_text())
    assert described["kind"] == "student" and described["input"]["size"] == SIDE
    assert described["provenance"]["settings"]["rounds"] == 2
    assert not (folder / "features").exists()
    unsee("run", scenes / "photographs", "--model", folder, "-o", "maps", cwd=tmp_path, expect=3)
    assert sum(row["status"] == "success" for row in rows_of(tmp_path / "maps")) == 13
    with Image.open(tmp_path / "maps/00.png") as saliency:
        assert saliency.size == (91, 70) and saliency.mode == "L"


def test_the_same_command_again_has_nothing_left_to_do(student, scenes):
    folder, _, words = student
    before = bytes_below(folder)
    said = unsee("train", "student", scenes / "photographs", "--output", folder, *words).err
    assert "learns from" not in said
    after = bytes_below(folder)
    assert {name for name in before if before[name] != after.get(name)} <= {"model.json"}
    assert before["model.json"] == after["model.json"]


@pytest.mark.proof
def test_the_bundle_makes_the_same_maps_without_the_checkpoint(student, scenes, tmp_path):
    folder, _, _ = student
    unsee("export", folder, "bundle", cwd=tmp_path)
    assert "parity" in (tmp_path / "bundle/bundle.json").read_text()
    unsee("check", "bundle", cwd=tmp_path)
    first = scenes / "photographs/00.png"
    unsee("run", first, "--method", "student", "--model", "bundle", "-o", "a", cwd=tmp_path)
    unsee("run", first, "--method", "student", "--model", folder, "--backend", "torch", "-o", "b", cwd=tmp_path)
    a, b = (np.asarray(Image.open(tmp_path / name / "00.png")).astype(int) for name in "ab")
    assert np.abs(a - b).max() <= 2


@pytest.mark.proof
def test_a_student_in_eight_bits_runs_and_says_what_it_is(student, scenes, tiny_model, tmp_path):
    folder, _, _ = student
    photographs = scenes / "labelled/images"
    unsee("export", folder, "small", "--precision", "int8", "--probes", photographs, cwd=tmp_path)
    described = json.loads((tmp_path / "small/bundle.json").read_text())
    assert described["precision"] == "int8"
    assert [check["name"] for check in described["parity"]["checks"]] == ["mean difference of a pixel in levels"]
    assert (tmp_path / "small/map.onnx").stat().st_size < (folder / "weights.safetensors").stat().st_size / 2
    said = unsee("run", photographs, "--model", "small", "-o", "maps", cwd=tmp_path).err
    assert "on cpu (onnxruntime, int8)" in said
    for words, message in (
        (("run", photographs, "--model", "small", "-o", "half", "--precision", "fp16"), "leave --precision out"),
        (("export", folder, "none", "--precision", "int8"), "calibrated on photographs"),
        (("export", tiny_model, "none", "--precision", "int8"), "int8 is for networks that make maps"),
    ):
        assert message in unsee(*words, cwd=tmp_path, expect=2).err


@pytest.fixture
def config(scenes, tiny_model, tmp_path):
    """Make the configuration of a short training of the tiny model into a folder of some name."""

    def made(name, **more):
        light = {"input_size": SIDE, "width": 8, "rounds": 1, "settled": 0, "epochs": 1, "batch": 4, "threads": 1}
        models = {"teachers": (str(tiny_model),), "start": str(tiny_model)}
        photographs = (str(scenes / "photographs"),)
        return StudentConfig(photographs=photographs, output=tmp_path / name, **{**light, **models, **more})

    return made


def test_masks_are_learned_from_too(config, scenes):
    train_student(config("s", masks=(f"folder:{scenes / 'labelled'}",)))
    figures = json.loads((config("s").output / "figures.json").read_text())
    assert (figures["photographs"], figures["with masks"]) == (13, 4)
    labels = np.load(config("s").output / "lessons/labels.npy")
    assert len(labels) == 17 and set(np.unique(labels[-4:])) >= {0, 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--input-size", 100), "must be a multiple of 32"),
        (("--masks", "folder:nowhere"), "nowhere"),
        (("--teacher", "unsee-small", "--teacher", "no-such-model"), "no-such-model"),
        (("--feature-budget", "-1"), "feature_budget at least 0"),
    ],
)
def test_what_cannot_be_taught_is_one_line(words, message, scenes, tiny_model, tmp_path):
    command = ("train", "student", scenes / "photographs", "--output", "s", "--start", tiny_model)
    assert message in unsee(*command, *words, cwd=tmp_path, expect=2).err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"kept": 0}, "kept must be in 0..1"),
        ({"teachers": ()}, "a teacher at least"),
        ({"start": "vgg_s:nothing"}, "vgg_s"),
        ({"photographs": ("nowhere",)}, "nowhere"),
        ({"smallest_object": 0.98, "largest_object": 0.99}, "none of 13 photographs has an object of 98% to 99%"),
    ],
)
def test_settings_that_do_not_fit_say_why(wrong, message, config):
    with pytest.raises(UnseeError, match=message):
        train_student(replace(config("s"), **wrong))


@pytest.mark.parametrize("saves", [1, 3])
def test_a_killed_training_goes_on_to_the_same_bytes(config, tmp_path, saves):
    more = {"rounds": 2, "save_every": 2}
    train_student(config("whole", **more))
    with killed_after_saving(at_save(saves)):
        train_student(config("killed", **more))
    assert not (tmp_path / "killed/model.json").exists()
    train_student(config("killed", **more))
    for name in ("weights.safetensors", "rounds/1/answers.npy", "rounds/2/answers.npy"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    with pytest.raises(UnseeError, match="other settings"):
        train_student(config("killed", learning_rate=1.0, **more))


def test_features_over_the_budget_are_computed_in_each_step(config, tmp_path, capsys):
    train_student(config("computed", feature_budget=0), Console())
    assert "computed in each step" in capsys.readouterr().out
    train_student(config("kept"))
    computed, kept = (np.load(tmp_path / name / "rounds/1/answers.npy") for name in ("computed", "kept"))
    np.testing.assert_allclose(computed, kept, atol=0.02)  # features are kept in half precision


def test_a_backbone_is_trained_where_it_has_a_rate(config, tiny_model, tmp_path):
    train_student(config("s", backbone_rate=0.001, augment=True))
    trained = load_file(tmp_path / "s/weights.safetensors")["backbone.features.0.weight"]
    assert np.abs(trained - load_file(tiny_model / "weights.safetensors")["features.0.weight"]).max() > 1e-5


def test_a_round_without_a_label_ends_the_training_with_the_student_before(config, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(teaching, "next_labels", lambda answers, teachers, number: np.zeros_like(answers))
    train_student(config("s", rounds=3), Console())
    assert "round 2 is left out: none of 13 photographs has an object" in " ".join(capsys.readouterr().out.split())
    assert len(json.loads((tmp_path / "s/figures.json").read_text())["rounds"]) == 1
    assert (tmp_path / "s/model.json").exists()


def test_a_student_teaches_the_next_one(config, student, tiny_model, tmp_path):
    folder, _, _ = student
    train_student(config("s", teachers=(str(tiny_model), str(folder))))
    settings = json.loads((tmp_path / "s/model.json").read_text())["provenance"]["settings"]
    assert settings["teachers"] == [tiny_model.name, "student"]


def test_maps_of_an_image_and_its_mirror_image_are_averaged(student, scenes, tmp_path):
    folder, _, _ = student
    (tmp_path / "in").mkdir()
    shutil.copy(scenes / "photographs/03.png", tmp_path / "in/plain.png")
    with Image.open(tmp_path / "in/plain.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "in/turned.png")
    unsee("run", "in", "--model", folder, "--mirror", "-o", "both", cwd=tmp_path)
    plain, turned = (np.asarray(Image.open(tmp_path / f"both/{name}.png")).astype(int) for name in ("plain", "turned"))
    assert np.abs(plain - turned[:, ::-1]).max() <= 1
    said = unsee("run", "in", "--model", folder, "-o", "both", cwd=tmp_path, expect=2).err
    assert "mirror" in said


def test_maps_follow_edges_where_they_are_refined(scenes, tmp_path):
    for name, words in (("plain", ()), ("refined", ("--refine", "bilateral"))):
        unsee("run", scenes / "photographs/00.png", "--method", "rc", "-o", name, *words, cwd=tmp_path)
    plain, refined = (np.asarray(Image.open(tmp_path / name / "00.png")) for name in ("plain", "refined"))
    assert (plain != refined).any()
    assert np.abs(np.diff(refined.astype(int), axis=1)).mean() < np.abs(np.diff(plain.astype(int), axis=1)).mean()
