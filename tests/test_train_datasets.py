"""Data sets in their real layouts, made here: VOCdevkit, COCO's JSON, folders of images and masks, generated scenes."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unsee.cli.trainings import app
from unsee.errors import UnseeError
from unsee.train.data.catalogue import open_dataset
from unsee.train.data.coco import coco, mask_of, unpacked
from unsee.train.data.datasets import BACKGROUND, VOID, check, label_of, main_class, rotated
from unsee.train.data.folders import masked_images
from unsee.train.data.scenes import SHAPES, GeneratedItem, scenes
from unsee.train.data.voc import CLASSES, voc

RNG = np.random.default_rng(9)


def save_image(path, height=20, width=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(path)


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def voc_root(tmp_path):
    """Three training and ten validation images with masks, and two with boxes only."""
    root = tmp_path / "VOCdevkit/VOC2012"
    for number in range(15):
        save_image(root / f"JPEGImages/2012_{number:02d}.jpg")
    (root / "SegmentationClass").mkdir()
    for number in range(13):
        values = np.zeros((20, 30), np.uint8)
        values[2:10, 2:10] = 1 + number
        values[12:15, 2:5] = 20
        values[1, :] = 255
        mask = Image.fromarray(values).convert("P")
        mask.putpalette(list(range(256)) * 3)
        mask.save(root / f"SegmentationClass/2012_{number:02d}.png")
    write_lines(root / "ImageSets/Segmentation/train.txt", [f"2012_{n:02d}" for n in range(3)])
    write_lines(root / "ImageSets/Segmentation/val.txt", [f"2012_{n:02d}" for n in range(3, 13)])
    for name in CLASSES:
        there = {"cat": 13, "dog": 14}.get(name)
        write_lines(root / f"ImageSets/Main/{name}_train.txt", [f"2012_13 {1 if there == 13 else -1}"])
        write_lines(
            root / f"ImageSets/Main/{name}_val.txt",
            [f"2012_14 {1 if there == 14 else -1}", f"2012_05 {1 if name == 'cow' else -1}"],
        )
    boxes = {13: [("person", 1, 1, 4, 4), ("cat", 5, 5, 20, 18)], 14: [("dog", 2, 2, 10, 10)]}
    (root / "Annotations").mkdir()
    for number, listed in boxes.items():
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
            "</bndbox></object>"
            for name, a, b, c, d in listed
        )
        (root / f"Annotations/2012_{number}.xml").write_text(f"<annotation>{objects}</annotation>")
    return tmp_path


def test_voc_masks_labels_and_void(voc_root):
    data = voc(voc_root, "segmentation-train")
    assert (len(data), len(data.classes), data.missing) == (3, 20, ())
    scene = data.items[1].read()
    assert scene.pixels.shape == (20, 30, 3)
    assert scene.objects[5, 5] == 1
    assert scene.objects[13, 3] == 19
    assert scene.objects[1, 1] == VOID
    assert scene.objects[0, 0] == BACKGROUND
    assert label_of(data.items[1]) == 1  # 64 pixels against 9


def test_voc_classification_is_train_and_val_without_masks(voc_root):
    data = open_dataset(f"voc:{voc_root}:classification")
    assert [item.key for item in data.items] == ["2012_13", "2012_14"]
    assert [CLASSES[label_of(item)] for item in data.items] == ["cat", "dog"]
    objects = data.items[0].read().objects
    assert objects[0, 0] == CLASSES.index("person")  # box corners count from 1, inclusive
    assert objects[17, 19] == CLASSES.index("cat")
    assert objects[18, 19] == BACKGROUND


def test_folds_hold_every_test_image_once(voc_root):
    folds = [
        (open_dataset(f"voc:{voc_root}:fold-{n}-train"), open_dataset(f"voc:{voc_root}:fold-{n}-test"))
        for n in range(5)
    ]
    assert sorted(item.key for _, test in folds for item in test.items) == [f"2012_{n:02d}" for n in range(3, 13)]
    for training, test in folds:
        assert (len(training), len(test)) == (3 + 8, 2)
        assert not {item.key for item in training.items} & {item.key for item in test.items}
    with pytest.raises(UnseeError, match="fold must be 0 to 4"):
        rotated(folds[0][1], folds[0][0], 5)


def test_check_counts_and_names_what_is_wrong(voc_root):
    root = voc_root / "VOCdevkit/VOC2012"
    (root / "SegmentationClass/2012_04.png").unlink()
    (root / "JPEGImages/2012_05.jpg").write_bytes(b"no image")
    Image.new("P", (3, 4)).save(root / "SegmentationClass/2012_06.png")
    Image.new("P", (30, 20)).save(root / "SegmentationClass/2012_07.png")
    found = check(voc(voc_root, "segmentation-val"))
    assert found.missing == ["SegmentationClass/2012_04.png"]
    assert [line.split(":")[0] for line in found.damaged] == ["2012_05", "2012_06"]
    assert "differ in size" in found.damaged[1]
    assert found.unlabelled == ["2012_07"]
    assert found.classes.total() == 6
    assert not found.sound
    result = CliRunner().invoke(app, ["check", f"voc:{voc_root}:segmentation-val"])
    assert "missing: SegmentationClass/2012_04.png" in result.output
    assert "9 images" not in result.output
    assert result.exit_code != 0
    assert CliRunner().invoke(app, ["check", f"voc:{voc_root}:segmentation-train"]).exit_code == 0


def test_voc_without_lists_is_one_clear_error(tmp_path):
    with pytest.raises(UnseeError, match=r"train\.txt: cannot be read"):
        voc(tmp_path, "segmentation-train")
    with pytest.raises(UnseeError, match="unknown part"):
        voc(tmp_path, "test")


def packed(runs):
    """Run lengths in COCO's text form, from its definition."""
    text = ""
    for place, run in enumerate(runs):
        value, more = run - (runs[place - 2] if place > 2 else 0), True
        while more:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text += chr(code + 48 + (32 if more else 0))
    return text


def runs_of(mask):
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


@pytest.mark.parametrize("first", [False, True])
def test_run_lengths_in_both_forms(first):
    mask = RNG.random((17, 40)) < 0.3
    mask[:, 20:] = True  # a long run
    mask[0, 0] = first
    runs = runs_of(mask)
    assert unpacked(packed(runs)) == runs
    for counts in (runs, packed(runs)):
        np.testing.assert_array_equal(mask_of({"size": [17, 40], "counts": counts}, 17, 40), mask)
    with pytest.raises(ValueError, match="run lengths"):
        mask_of({"size": [17, 40], "counts": runs[:-1]}, 17, 40)


def test_text_form_by_hand():
    # A 3 x 3 mask with the middle column set: three runs of three pixels, each one character.
    assert unpacked("333") == [3, 3, 3]


def test_polygon_fills_its_inside():
    mask = mask_of([[2, 3, 8, 3, 8, 7, 2, 7]], 12, 15)
    expected = np.zeros((12, 15), bool)
    expected[3:7, 2:8] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.fixture
def coco_root(tmp_path):
    images = [{"id": n, "file_name": f"{n:012d}.jpg"} for n in range(6)]
    for item in images[:-1]:
        save_image(tmp_path / "images" / item["file_name"])

    def annotation(image, category, left, top, side, crowd=0):
        right, bottom = left + side, top + side
        polygon = [[left, top, right, top, right, bottom, left, bottom]]
        mask = np.zeros((20, 30), bool)
        mask[top:bottom, left:right] = True
        shape = {"size": [20, 30], "counts": runs_of(mask)} if crowd else polygon
        return {"image_id": image, "category_id": category, "iscrowd": crowd, "segmentation": shape}

    annotations = [
        annotation(0, 7, 1, 1, 10), annotation(0, 7, 12, 2, 4), annotation(0, 3, 20, 3, 8, crowd=1),
        annotation(1, 7, 0, 0, 5), annotation(1, 3, 10, 0, 9), annotation(1, 3, 2, 2, 2),
        annotation(2, 3, 4, 4, 6), annotation(3, 3, 4, 4, 6, crowd=1), annotation(5, 90, 1, 1, 3),
    ]  # fmt: skip
    categories = [{"id": 3, "name": "car"}, {"id": 7, "name": "train"}, {"id": 90, "name": "toothbrush"}]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return tmp_path


def test_coco_reads_objects_and_crowds(coco_root):
    data = open_dataset(f"coco:{coco_root}/images:{coco_root}/instances.json")
    assert data.classes == ("car", "train", "toothbrush")
    assert [item.key for item in data.items] == [f"{n:012d}" for n in (0, 1, 2)]
    assert data.missing == ("000000000005.jpg",)
    scene = data.items[0].read()
    assert scene.objects[5, 5] == 1
    assert scene.objects[4, 22] == VOID
    assert label_of(data.items[0]) == 1
    crossed = data.items[1].read().objects
    assert crossed[3, 3] == 0  # the smaller object lies above
    assert crossed[1, 1] == 1
    assert label_of(data.items[1]) == 0  # 85 pixels of cars against 21


def test_coco_single_category_subset(coco_root):
    data = coco(coco_root / "images", coco_root / "instances.json", single_category=True, most_classes=2)
    assert data.classes == ("car", "train")
    assert [(item.key, label_of(item)) for item in data.items] == [("000000000000", 1), ("000000000002", 0)]
    held = open_dataset(f"coco-single:{coco_root}/images:{coco_root}/instances.json", classes=("train",))
    assert held.classes == ("train",)
    assert [item.key for item in held.items] == ["000000000000"]


def test_damaged_annotations_are_one_clear_error(tmp_path):
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(UnseeError, match="not COCO annotations"):
        coco(tmp_path, tmp_path / "a.json")


@pytest.mark.parametrize(
    ("image", "mask"),
    [("images/{}.jpg", "masks/{}.png"), ("Imgs/{}.jpg", "Imgs/{}.png"), ("{}.jpg", "{}.png"), ("imgs/{}.jpg", "gt/{}.png"),
     ("DUTS-TR-Image/{}.jpg", "DUTS-TR-Mask/{}.png"), ("images/{}.jpg", "ground_truth_mask/{}.png")],
)  # fmt: skip
def test_folders_of_images_and_masks(tmp_path, image, mask):
    for name in "ab":
        save_image(tmp_path / image.format(name))
        (tmp_path / mask).parent.mkdir(exist_ok=True)
        Image.fromarray(np.uint8([[0, 127, 128, 255]])).resize((30, 20), 0).save(tmp_path / mask.format(name))
    save_image(tmp_path / image.format("c"))
    data = masked_images(tmp_path)
    assert [item.key for item in data.items] == ["a", "b"]
    assert data.missing == ("mask of c.jpg",)
    assert abs((data.items[0].read().objects == 0).mean() - 0.5) < 0.05
    assert check(data).classes == {"object": 2}


def test_named_folders_and_empty_ones(tmp_path):
    save_image(tmp_path / "pictures/x.jpg")
    with pytest.raises(UnseeError, match="no images with masks"):
        masked_images(tmp_path)
    (tmp_path / "objects").mkdir()
    Image.new("L", (30, 20)).save(tmp_path / "objects/x.png")
    assert len(open_dataset(f"folder:{tmp_path}:pictures:objects")) == 1


def test_real_ecssd(shared):
    data = masked_images(shared / "data/ecssd-dev")
    assert (len(data), data.missing) == (250, ())
    assert check(data.part(data.items[:20], "some")).classes == {"object": 20}


def test_scenes_are_seeded_and_labelled():
    item = GeneratedItem(3, 5)
    scene, again = item.read(), item.read()
    np.testing.assert_array_equal(scene.pixels, again.pixels)
    np.testing.assert_array_equal(scene.objects, again.objects)
    assert scene.pixels.dtype == np.uint8
    assert (scene.pixels != GeneratedItem(3, 6).read().pixels).any()
    data = scenes(60, seed=1, side=48)
    found = check(data)
    assert (found.images, found.damaged, found.unlabelled) == (60, [], [])
    assert len(found.classes) == len(SHAPES)
    covered = [(item.read().objects >= 0).mean() for item in data.items]
    assert min(covered) > 0.03
    assert max(covered) < 0.6


def test_main_class_and_unknown_names():
    assert main_class(np.array([[2, 2, -1], [3, 3, -2]])) == 2  # the first of equal ones
    assert main_class(np.array([[-1, -2]])) is None
    for name in ("voc:here", "scenes:many:0", "imagenet:there", "scenes:0:1"):
        with pytest.raises(UnseeError):
            open_dataset(name)


def test_textures_come_from_a_folder(tmp_path):
    with pytest.raises(UnseeError, match="no photographs"):
        scenes(1, textures=str(tmp_path)).items[0].read()
    Image.new("RGB", (40, 30), (10, 200, 30)).save(tmp_path / "green.png")
    scene = GeneratedItem(0, 0, 32, str(tmp_path / ".")).read()
    assert (scene.pixels[scene.objects == BACKGROUND] == [10, 200, 30]).all(1).mean() > 0.5
