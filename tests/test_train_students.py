"""What a student is taught: the choice of labels, their refinement, features that are kept, views, losses, backbones."""

import errno
import json
import os

import numpy as np
import pytest
import torch

from unsee.engine.teaching.label_refinement import refined_labels
from unsee.errors import OutputError, UnseeError
from unsee.tests.library_shim import import_timm
from unsee.train.networks.maps.mapper_metadata import AttentionalOptions, MapMetadata, StudentOptions
from unsee.train.networks.maps.mappers import build_map_network
from unsee.train.networks.maps.student import PyramidHead
from unsee.train.networks.maps.student_backbones import open_backbone, start_backbone
from unsee.train.networks.metadata import InputSpec
from unsee.train.networks.model_names import load_classifier
from unsee.train.students.feature_cache import DONE_FILE, cached_features, feature_bytes
from unsee.train.students.lessons import Lessons, draw
from unsee.train.students.made_marks import made, mark_made
from unsee.train.students.pseudo_labels import changed_share, chosen, next_labels
from unsee.train.students.stored_arrays import new_array
from unsee.train.students.student_config import StudentConfig
from unsee.train.students.student_course import answers, label_losses, new_student

SIDE = 64


def config(**more):
    given = {"photographs": ("photos",), "teachers": ("unsee-small",), "output": "out", "input_size": SIDE, "width": 8}
    return StudentConfig(**{**given, **more})


def label(share, level=1.0, side=20):
    """A label whose first rows are an object of that share of the frame."""
    found = np.full((side, side), 1 - level, np.float32)
    found[: round(share * side)] = level
    return found


def test_the_decided_labels_of_some_size_are_chosen():
    labels = np.stack([label(0.3), label(0.05, 0.9), label(0.9), label(0.3, 0.55), label(0), label(0.5, 0.8)])
    known = np.zeros(6, bool)
    assert chosen(labels, known, config(kept=1)).tolist() == [0, 1, 3, 5]
    assert chosen(labels, known, config(kept=0.8)).tolist() == [0, 1, 5]
    known[[2, 3]] = True  # masks are taken whatever they hold
    assert chosen(labels, known, config(kept=0.5)).tolist() == [0, 2, 3]
    assert chosen(labels[2:3], known[:1], config()).tolist() == []
    assert chosen(labels[2:3], known[2:3], config()).tolist() == [0]


def test_teachers_are_heard_once_more():
    mine, theirs = np.full((1, 2, 2), 0.2, np.float32), np.full((1, 2, 2), 0.6, np.float32)
    np.testing.assert_allclose(next_labels(mine, theirs, 1), 0.4)
    np.testing.assert_array_equal(next_labels(mine, theirs, 2), mine)
    assert next_labels(mine, theirs, 1).dtype == np.float32
    assert changed_share(mine, theirs) == 1 and changed_share(mine, mine) == 0
    assert changed_share(mine[:0], mine[:0]) == 0


def test_refined_labels_follow_the_photograph():
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disk = (rows - 30) ** 2 + (columns - 34) ** 2 < 300
    pixels = np.where(disk[..., None], 30, 220).astype(np.uint8) * np.ones(3, np.uint8)
    truth = disk[::4, ::4]
    coarse = np.clip(truth + np.random.default_rng(0).normal(0, 0.45, truth.shape), 0, 1).astype(np.float32)
    told = []
    refined = refined_labels(np.stack([coarse] * 70), np.stack([pixels] * 70), told.append)
    assert refined.shape == (70, 16, 16) and refined.dtype == np.float32 and sum(told) == 70
    np.testing.assert_array_equal(refined[0], refined[69])
    assert ((refined[0] > 0.5) != truth).mean() < ((coarse > 0.5) != truth).mean() / 2


@pytest.fixture(scope="module")
def mapper():
    return new_student(config(start="unsee-small"), load_classifier("unsee-small"), 1)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)


def test_features_are_kept_until_what_they_are_made_of_changes(mapper, pixels, tmp_path):
    told = []
    features = cached_features(tmp_path, mapper.eval(), pixels, "one", told.append)
    assert sum(told) == 10
    assert sum(level.nbytes for level in (*features.plain, *features.mirrored)) == feature_bytes(mapper, 5)
    with torch.no_grad():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        exact = mapper.network.backbone(mapper.preprocess(images.flip(3)))
    for level, wanted in zip(features.of(np.arange(5), mirrored=True), exact, strict=True):
        torch.testing.assert_close(level, wanted, atol=0.02, rtol=1e-3)
    cached_features(tmp_path, mapper, pixels, "one", told.append)
    assert sum(told) == 10
    cached_features(tmp_path, mapper, pixels, "two", told.append)
    assert sum(told) == 20
    (tmp_path / DONE_FILE).write_text("{")
    cached_features(tmp_path, mapper, pixels, "two", told.append)
    assert sum(told) == 30


def test_room_on_the_disk_is_taken_at_once(tmp_path, monkeypatch):
    array = new_array(tmp_path / "a.npy", np.uint8, (1000, 100))
    assert not array.any() and (tmp_path / "a.npy").stat().st_blocks * 512 >= 100_000

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"b.npy: no room for 0.40 GB \(No space left"):
        new_array(tmp_path / "b.npy", np.float32, (1000, 100_000))
    assert not (tmp_path / "b.npy").exists()


def test_marks_are_of_what_was_made(tmp_path):
    mark_made(tmp_path / "mark.json", "digest", seconds=1)
    assert made(tmp_path / "mark.json", "digest") == {"digest": "digest", "seconds": 1}
    assert made(tmp_path / "mark.json", "other") is None and made(tmp_path / "none.json", "digest") is None
    (tmp_path / "mark.json").write_text(json.dumps(["digest"]))
    assert made(tmp_path / "mark.json", "digest") is None


def test_crops_take_their_labels_with_them(pixels):
    bright = pixels // 8
    bright[:, 16:48, 20:40] = 250
    labels = (bright[:, ::4, ::4, 0] > 200).astype(np.float32)
    lessons = Lessons(bright, labels, np.zeros(5, bool))
    batches = [[(number, 100 + number) for number in range(5)], [(0, 7), (4, 8)]]
    for drawn in draw(lessons, batches, augment=True):
        inside = torch.nn.functional.adaptive_avg_pool2d(drawn.inputs[0].mean(1, keepdim=True), SIDE // 4)
        for image, wanted in zip(inside, drawn.labels, strict=True):
            assert image[wanted > 0.9].mean() > image[wanted < 0.1].mean() + 40
    twice = [next(iter(draw(lessons, batches, augment=True))).inputs[0] for _ in range(2)]
    torch.testing.assert_close(*twice, atol=0, rtol=0)
    plain = next(iter(draw(lessons, batches)))
    assert plain.inputs[0].shape == (5, 3, SIDE, SIDE) and plain.labels.shape == (5, 1, 16, 16)


def test_losses_fall_where_maps_agree_with_decided_labels():
    labels = torch.from_numpy(np.stack([label(0.3), label(0.5)]))[:, None]
    right, wrong = 8 * (2 * labels - 1), 8 * (1 - 2 * labels)
    assert label_losses(right, labels) < 0.1 * len(labels)
    assert label_losses(wrong, labels) > 5 * len(labels)
    torch.testing.assert_close(
        label_losses(right, labels), sum(label_losses(right[i : i + 1], labels[i : i + 1]) for i in (0, 1))
    )
    undecided = torch.full((1, 1, 4, 4), 0.5)
    entropy = label_losses(torch.zeros(1, 1, 4, 4), undecided) - 3 * (1 - 1 / 9)  # what is left is the overlap's part
    assert abs(float(entropy)) < 1e-5


def test_answers_of_mirror_images_are_mirrored(mapper, pixels):
    labels = np.zeros((5, 16, 16), np.float32)
    found = answers(mapper, Lessons(pixels, labels, np.zeros(5, bool)))
    turned = answers(mapper, Lessons(np.ascontiguousarray(pixels[:, :, ::-1]), labels, np.zeros(5, bool)))
    np.testing.assert_allclose(found, turned[:, :, ::-1], atol=1e-5)


def test_the_backbone_keeps_its_statistics_in_training(mapper):
    mapper.network.train()
    assert mapper.network.head.training and not mapper.network.backbone.training


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet1_1", "unsee_small"])
def test_backbones_give_what_their_taps_say(name):
    backbone = open_backbone(name)
    found = backbone(torch.zeros(1, 3, SIDE, SIDE))
    assert [(level.shape[1], SIDE // level.shape[2]) for level in found] == list(backbone.taps)
    assert backbone.taps[0][1] == 4
    assert PyramidHead(tuple(channels for channels, _ in backbone.taps), 8, 0.0)(found).shape == (1, 1, 16, 16)


def test_a_librarys_network_is_followed_up_to_its_last_features():
    timm = import_timm()
    backbone = open_backbone("timm:resnet18")
    assert backbone.taps == ((64, 4), (128, 8), (256, 16), (512, 32))
    classifier = timm.create_model("resnet18", num_classes=3)
    assert len(backbone.trunk.state_dict()) < len(classifier.state_dict())


def test_what_is_no_backbone_says_why():
    with pytest.raises(UnseeError, match="no backbone; take efficientnet_lite0"):
        open_backbone("tiny_darknet")
    with pytest.raises(UnseeError, match="multiple of 32"):
        MapMetadata("student", "default", "unsee_small", InputSpec(size=48), StudentOptions())
    with pytest.raises(UnseeError, match="frozen belongs to a student"):
        MapMetadata("attentional", "default", "unsee_small", InputSpec(size=48), AttentionalOptions(), frozen="vgg16")


def test_a_backbone_takes_over_the_weights_of_its_classifier():
    classifier = load_classifier("unsee-small")
    mapper = build_map_network(
        MapMetadata("student", "default", "unsee_small", InputSpec(size=SIDE), StudentOptions(8))
    )
    start_backbone(mapper.network.backbone, classifier)
    own = mapper.network.backbone.state_dict()
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, classifier.module.state_dict()[name])
