"""Anybody's map network as an ONNX file: run, wrapped and checked by command, against the script that a user would write."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image, ImageOps

import unsee as package
from unsee.tests.commands.running import bytes_below, command, rows_of, unsee
from unsee.tests.commands.test_bare_box import on_the_box
from unsee.tests.map_models import map_checkpoint
from unsee.tests.network_files import ORIENTATION, Form, Script, write_network

LANCZOS = Image.Resampling.LANCZOS
U2NET = Script(largest=True, filter=LANCZOS, stretch=True)
IMAGENET = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.0)}

FORMS = {
    "u2net.onnx": (Form(320, outputs=7), U2NET, 320, ()),
    "silueta.onnx": (Form(320, batch="batch_size"), U2NET, 320, ()),
    "isnet-general-use.onnx": (
        Form(64, input="img", outputs=2),
        Script(std=(1, 1, 1), largest=True, filter=LANCZOS, stretch=True),
        64,
        (),
    ),
    "BiRefNet-general-epoch_244.onnx": (
        Form(64, input="input_image", output="output_image", logits=True),
        Script(largest=True, filter=LANCZOS, sigmoid=True, stretch=True),
        64,
        (),
    ),
    "isnet.onnx": (Form(64, outputs=12, input="image"), Script(**CENTRED, stretch=True), 64, ()),
    "inspyrenet_fast.onnx": (Form(None, batch="n", output="map"), Script(), 48, ("--input-size", 48)),
    "bria-rmbg-2.0.onnx": (Form(64, input="pixel_values", output="alphas"), U2NET, 64, ()),
    "RMBG-1.4.onnx": (Form(64), Script(**CENTRED, stretch=True), 64, ()),
    "BEN2_Base.onnx": (Form(64, reshape=True), Script(filter=LANCZOS, stretch=True), 64, ()),
    "mine.onnx": (Form(64, channels_last=True, batch="b"), Script(), 64, IMAGENET),
    "half.onnx": (Form(64, type="float16"), Script(), 64, IMAGENET),
    "bytes.onnx": (Form(64, type="uint8", flat=True), Script(), 64, ()),
    "boxed.onnx": (
        Form(64, batch="b", logits=True),
        Script(letterbox=True, padding=114, sigmoid=True),
        64,
        (*IMAGENET, "--resize-mode", "letterbox", "--padding", 114, "--activation", "sigmoid"),
    ),
    "second.onnx": (Form(64, outputs=3), Script(output="d2"), 64, (*IMAGENET, "--output-name", "d2")),
    "other.onnx": (Form(64, logits=True), U2NET, 64, ("--like", "u2net")),
}


SAID = {
    "inspyrenet_fast.onnx": ({"size": 48}, {}),
    "mine.onnx": ({}, {}),
    "half.onnx": ({}, {}),
    "boxed.onnx": ({}, {"resize_mode": "letterbox", "padding": 114, "activation": "sigmoid"}),
    "second.onnx": ({}, {"output_name": "d2"}),
    "other.onnx": (None, {"like": "u2net"}),
}
"""Input and choice of a detector where the options above say something."""


def _check_maps(name, maps, tmp_path):
    """Compare the maps of photographs, by path, with those of the plain script."""
    form, script, size, _ = FORMS[name]
    levels = set()
    for path, found in maps.items():
        expected = script.map(tmp_path / name, path, form, size).astype(int)
        assert np.abs(np.asarray(found).astype(int) - expected).max() <= 1, path
        levels |= set(np.unique(found))
    assert len(levels) > 20  # of maps that show something


@pytest.mark.parametrize("name", ["u2net.onnx", "boxed.onnx", "bytes.onnx"])
def test_maps_are_those_of_a_plain_script(name, photographs, tmp_path):
    form, _, _, options = FORMS[name]
    write_network(tmp_path / name, form)
    unsee("run", photographs, "--model", name, "-o", "maps", *options, cwd=tmp_path)
    rows = rows_of(tmp_path / "maps")
    assert len(rows) == 12 and {row["status"] for row in rows} == {"success"}
    maps = {row["path"]: Image.open(tmp_path / "maps" / f"{row['output']}.png") for row in rows}
    _check_maps(name, maps, tmp_path)


@pytest.mark.parametrize("name", FORMS)
def test_a_detector_makes_the_same_maps(name, photographs, tmp_path):
    write_network(tmp_path / name, FORMS[name][0])
    spec, choice = SAID.get(name, (None, {}))
    spec = None if spec is None else package.InputSpec(**{"size": 64, **spec})
    paths = sorted(photographs.glob("*.*g"))
    with package.Detector(tmp_path / name, input=spec, network=package.NetworkChoice(**choice)) as detector:
        maps = {path: found.map for path, found in zip(paths, detector(paths), strict=True)}
    _check_maps(name, maps, tmp_path)


OBLONG = {
    "wide.onnx": (Form((96, 128), batch="b"), Script(), ()),
    "tall.onnx": (
        Form((128, 97), channels_last=True, shrink=2),
        Script(letterbox=True, padding=114),
        ("--resize-mode", "letterbox", "--padding", 114),
    ),
    "free.onnx": (
        Form(None, batch="b", logits=True),
        Script(filter=LANCZOS, sigmoid=True),
        ("--input-size", "96x128", "--activation", "sigmoid", "--resample", "lanczos"),
    ),
}
"""Networks of unequal sides."""
SAID_OF_OBLONG = {
    "wide.onnx": (None, {}),
    "tall.onnx": (None, {"resize_mode": "letterbox", "padding": 114}),
    "free.onnx": ((96, 128), {"activation": "sigmoid", "resample": "lanczos"}),
}


def _near(found, expected):
    assert np.shape(found) == expected.shape and expected.std() > 3
    assert np.abs(np.asarray(found).astype(int) - expected).max() <= 1


@pytest.fixture
def turned(photographs, tmp_path):
    """A folder of two photographs, and of a third that its EXIF orientation turns."""
    folder = tmp_path / "turned"
    folder.mkdir()
    for name in ("00.jpg", "03.png"):
        shutil.copy(photographs / name, folder)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.open(photographs / "08.jpg").resize((120, 70)).save(folder / "side.png", exif=exif)
    return folder


@pytest.mark.parametrize("name", OBLONG)
def test_images_of_unequal_sides_give_the_maps_of_a_plain_script(name, turned, tmp_path):
    form, script, options = OBLONG[name]
    network = write_network(tmp_path / name, form)
    unsee("run", turned, "--model", name, "-o", "maps", *IMAGENET, *options, cwd=tmp_path)
    sides, choice = SAID_OF_OBLONG[name]
    spec = package.InputChoice(sides, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    detector = package.Detector(network, input=spec, network=package.NetworkChoice(**choice))
    size = form.size or sides
    for path in sorted(turned.iterdir()):
        expected = script.map(network, path, form, size).astype(int)
        _near(Image.open(tmp_path / f"maps/{path.stem}.png"), expected)
        _near(detector(path).map, expected)


def test_a_network_of_unequal_sides_goes_through_every_step(turned, tmp_path):
    form, script = Form((128, 96), batch="b"), Script()
    network = write_network(tmp_path / "mine.onnx", form, seed=3)
    (tmp_path / "mine.json").write_text(json.dumps({"size": "128x96", "mean": script.mean, "std": script.std}))
    unsee("wrap", "mine.onnx", "bundle", "--probes", turned, cwd=tmp_path)
    assert "with a plain script when exported" in unsee("check", "bundle", cwd=tmp_path).out
    words = ("--output-kind", "mask", "--rows-with", "box")
    unsee("run", turned, "--model", "bundle", "-o", "masks", *words, cwd=tmp_path)
    unsee("run", turned, "--model", "bundle", "-o", "arrays", "--output-format", "npy", cwd=tmp_path)
    arrays = np.load(tmp_path / "arrays/00000.npy")
    assert arrays.shape == (3, 128, 128) and arrays[:, -8:].any() and arrays[:, :, -8:].any()
    map_checkpoint(tmp_path / "promoter", "promoter")
    bundle = tmp_path / "bundle"
    plain, mirrored = package.Detector(bundle), package.Detector(bundle, mirror=True)
    promoted = package.Detector(bundle, promote=tmp_path / "promoter")
    for row in rows_of(tmp_path / "masks"):
        mask, path = np.asarray(Image.open(tmp_path / f"masks/{row['output']}.png")), Path(row["path"])
        expected = script.map(network, path, form, (128, 96)).astype(int)
        _near(plain(path).map, expected)
        assert mask.shape == expected.shape == promoted(path).map.shape and mask.any()
        rows, columns = np.nonzero(mask)
        assert row["bbox"][:2] == [columns.min(), rows.min()]
        other = script.map(network, _flipped(path, tmp_path / "flipped.png"), form, (128, 96)).astype(int)
        assert np.abs(mirrored(path).map - (expected + other[:, ::-1]) / 2).max() <= 2


def _flipped(path, target):
    """Write the mirror image of a photograph, upright."""
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)
    return target


def test_a_file_beside_the_network_says_what_it_takes_and_options_go_first(photographs, tmp_path):
    network = write_network(tmp_path / "mine.onnx", Form(64, logits=True))
    said = {"mean": [127.5] * 3, "std": [127.5] * 3, "range": 255, "channel_order": "BGR", "activation": "sigmoid"}
    (tmp_path / "mine.json").write_text(json.dumps(said))
    unsee("run", photographs / "01.png", "--model", "mine.onnx", "-o", "maps", cwd=tmp_path)
    script = Script((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), sigmoid=True)
    flipped = tmp_path / "flipped.png"
    Image.fromarray(np.asarray(Image.open(photographs / "01.png").convert("RGB"))[..., ::-1]).save(flipped)
    expected = script.map(network, flipped, Form(64), 64)
    found = np.asarray(Image.open(tmp_path / "maps/01.png"))
    assert np.abs(found.astype(int) - expected).max() <= 1
    unsee("run", flipped, "--model", "mine.onnx", "--channel-order", "RGB", "-o", "other", cwd=tmp_path)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "other/flipped.png")), found)
    constants = ("--preset", "paper", "--iterations", "3")  # of descents, and no part of this run
    words = (photographs / "01.png", "--model", "mine.onnx", "-o", "maps", *constants)
    assert "nothing left to do" in unsee("run", *words, cwd=tmp_path).err
    (tmp_path / "mine.json").write_text(json.dumps({**said, "range": 1}))
    refused = unsee("run", photographs / "01.png", "--model", "mine.onnx", "-o", "third", cwd=tmp_path, expect=2).err
    assert "mean is that of pixels in 0..1, got (127.5, 127.5, 127.5): divide by 255, or say" in refused


@pytest.mark.parametrize(
    ("form", "words", "message"),
    [
        (Form(64), (), r"not a network that is known \(input input.1 float32 .*outputs d0 float32 \[1, 1, 64, 64\]\), and "
                       r"nothing says its mean and std: give --mean and --std, or mine.json beside it, or --like one of"),
        (Form(None), IMAGENET, "nothing says its size: give --input-size, or mine.json"),
        (Form(64, logits=True), IMAGENET, "values from -.* to .*no map of 0 to 1: --activation says what it needs"),
        (Form(64), (*IMAGENET, "--input-size", 32), "its input is 64 x 64, not 32 x 32: leave the size out"),
        (Form((64, 48)), (*IMAGENET, "--input-size", "48x64"), "its input is 64 x 48, not 48 x 64: leave the size out"),
        (Form(None), (*IMAGENET, "--input-size", "48x"), "input size must be .* height and width as in 288x384, got '48x'"),
        (Form(64), ("--method", "rbd"), "is an ONNX file, which method rbd does not run: use --method network"),
        (Form(64), (*IMAGENET, "--output-name", "d9"), "has no output 'd9', but d0"),
        (Form(64), ("--like", "u3net"), "no network 'u3net' is known, but u2net, "),
        (Form(64, shrink=2, opset=9), IMAGENET, "its maps are 32 x 32 for images of 64 x 64"),
        (Form(64), ("--weights", "w.pth"), "weights are a classifier's, and method network has none"),
        (Form(64), (*IMAGENET, "--backend", "torch"), "is an ONNX file, which PyTorch does not run"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_that_names_the_option(form, words, message, photographs, tmp_path):
    write_network(tmp_path / "mine.onnx", form)
    said = unsee("run", photographs, "--model", "mine.onnx", "-o", "maps", *words, cwd=tmp_path, expect=2).err
    lines = [line for line in said.splitlines() if line.startswith("unsee: ")]
    assert len(lines) == 1 and re.search(message, lines[0]), said
    assert not (tmp_path / "maps").exists()


def test_files_that_are_no_map_network_are_refused(photographs, tmp_path):
    inputs = [onnx.helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in ("a", "b")]
    output = [onnx.helper.make_tensor_value_info("c", 1, [1, 3, 8, 8])]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["a", "b"], ["c"])], "two", inputs, output)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "two.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk" * 50)
    (tmp_path / "empty.onnx").touch()
    for name, message in {
        "two": "takes 2 inputs (a [1, 3, 8, 8], b [1, 3, 8, 8]): a map network takes one",
        "junk": "damaged",
        "empty": "damaged",
    }.items():
        said = unsee("run", photographs, "--model", f"{name}.onnx", "-o", "maps", cwd=tmp_path, expect=2).err
        assert message in said.replace("\n", " "), said
    for words in ((), ("--method", "network")):
        said = unsee("run", photographs, "--model", "none.onnx", "-o", "maps", *words, cwd=tmp_path, expect=2).err
        assert "none.onnx: no such file" in said
    write_network(tmp_path / "u2net.onnx", Form(64))
    (tmp_path / "nothing").mkdir()
    said = unsee("wrap", "u2net.onnx", "box", "--probes", "nothing", cwd=tmp_path, expect=2).err
    assert "nothing: no photographs to verify on" in said or "no image" in said
    said = unsee("bench", "network", "--images", photographs, "--model", "none.onnx", cwd=tmp_path, expect=2).err
    assert "neither an ONNX file nor one of light, small-u2net" in said


def test_weights_beside_the_network_are_read_from_its_folder_only(photographs, tmp_path):
    (tmp_path / "net").mkdir()
    write_network(tmp_path / "whole.onnx", Form(64, batch="b"))
    model = onnx.load(tmp_path / "whole.onnx")
    onnx.save(model, tmp_path / "net/u2net.onnx", save_as_external_data=True, location="all.data", size_threshold=0)
    unsee("wrap", "net/u2net.onnx", "bundle", cwd=tmp_path)
    (tmp_path / "net/all.data").rename(tmp_path / "elsewhere.data")
    unsee("run", photographs, "--model", "bundle", "-o", "maps", cwd=tmp_path)  # which has its own copy
    assert "which is not in its folder" in unsee("wrap", "net/u2net.onnx", "b2", cwd=tmp_path, expect=2).err
    (tmp_path / "net/all.data").symlink_to(tmp_path / "elsewhere.data")
    assert "outside its folder" in unsee("wrap", "net/u2net.onnx", "b2", cwd=tmp_path, expect=2).err


def test_a_wrapped_network_is_checked_and_run_without_the_file(photographs, tmp_path):
    write_network(tmp_path / "u2net.onnx", Form(96, outputs=7))
    made = unsee("wrap", "u2net.onnx", "bundle", "--probes", photographs, cwd=tmp_path)
    assert "images/s with onnxruntime on cpu" in made.out and "with a plain script when exported" in made.out
    unsee("run", photographs, "--model", "u2net.onnx", "-o", "by-file", cwd=tmp_path)
    (tmp_path / "u2net.onnx").unlink()
    assert "at most 2" in unsee("check", "bundle", cwd=tmp_path).out
    unsee("run", photographs, "--model", "bundle", "-o", "by-bundle", cwd=tmp_path)
    assert bytes_below(tmp_path / "by-file")["01.png"] == bytes_below(tmp_path / "by-bundle")["01.png"]
    said = unsee("run", photographs, "--model", "bundle", "--like", "dis", "-o", "x", cwd=tmp_path, expect=2).err
    assert "--like is for an ONNX file or a module of one's own, and bundle is neither" in said
    described = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert described["kind"] == "network" and described["parity"]["reference"] == "a plain script"
    graph = tmp_path / "bundle/map.onnx"
    graph.write_bytes(graph.read_bytes()[:-9])
    assert "truncated or changed" in unsee("check", "bundle", cwd=tmp_path, expect=2).err


def test_a_batch_that_is_built_in_is_found_out(tmp_path):
    for name, form in {"free": Form(64), "fixed": Form(64, reshape=True)}.items():
        write_network(tmp_path / f"{name}.onnx", form)
        said = unsee("wrap", f"{name}.onnx", name, *IMAGENET, cwd=tmp_path).err
        assert ("the size of its batch is built in" in said) == (name == "fixed")
        shape = onnx.load(tmp_path / name / "map.onnx").graph.input[0].type.tensor_type.shape.dim[0]
        assert (shape.dim_value, shape.dim_param) == ((1, "") if name == "fixed" else (0, "batch"))
    assert "at most" in unsee("check", "fixed", cwd=tmp_path).out


def test_flat_and_damaged_images_have_rows(photographs, tmp_path):
    write_network(tmp_path / "u2net.onnx", Form(64, outputs=7))
    (tmp_path / "in").mkdir()
    shutil.copy(photographs / "01.png", tmp_path / "in")
    Image.new("RGB", (50, 40), (9, 9, 9)).save(tmp_path / "in/black.png")
    Image.new("RGB", (1, 70), (90, 9, 9)).save(tmp_path / "in/thin.png")
    (tmp_path / "in/cut.png").write_bytes((photographs / "01.png").read_bytes()[:99])
    unsee("run", "in", "--model", "u2net.onnx", "-o", "maps", cwd=tmp_path, expect=3)
    found = {row["output"]: (row["status"], row["has_object"]) for row in rows_of(tmp_path / "maps")}
    assert found["black"] == ("success", False) and not np.asarray(Image.open(tmp_path / "maps/black.png")).any()
    assert found["thin"][0] == "success" and found["cut"][0] == "failed_to_decode"
    unsee("run", "in", "--model", "u2net.onnx", "-o", "in", cwd=tmp_path, expect=2)


def test_masks_boxes_and_cutouts_of_a_letterbox_are_of_the_image_alone(photographs, tmp_path):
    write_network(tmp_path / "mine.onnx", Form(64, batch="b"), seed=3)
    words = (*IMAGENET, "--resize-mode", "letterbox", "--output-kind", "mask", "--rows-with", "rle,box")
    unsee("run", photographs, "--model", "mine.onnx", "-o", "maps", *words, cwd=tmp_path)
    for row in rows_of(tmp_path / "maps"):
        mask = np.asarray(Image.open(tmp_path / "maps" / f"{row['output']}.png"))
        assert mask.shape == (row["height"], row["width"])
        assert row["area"] == (mask > 0).sum() and row["segmentation"]["size"] == list(mask.shape)
        left, top, width, height = row["bbox"]
        rows, columns = np.nonzero(mask)
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        assert row["box"][0] + row["box"][2] <= row["width"] and row["box"][1] + row["box"][3] <= row["height"]


BOXED = (*IMAGENET, "--resize-mode", "letterbox")


@pytest.mark.proof
def test_a_letterbox_follows_the_orientation_and_every_later_step_sees_the_image_alone(photographs, tmp_path):
    network = write_network(tmp_path / "mine.onnx", Form(64, batch="b"), seed=3)
    map_checkpoint(tmp_path / "promoter", "promoter")
    (tmp_path / "in").mkdir()
    upright = Image.open(photographs / "00.jpg").resize((120, 40))
    upright.save(tmp_path / "in/plain.png")
    turned = upright.transpose(Image.Transpose.ROTATE_90)  # which orientation 6 turns back
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned.save(tmp_path / "in/turned.png", exif=exif)
    unsee("run", "in", "--model", network, "-o", "maps", *BOXED, cwd=tmp_path)
    plain, other = (np.asarray(Image.open(tmp_path / f"maps/{name}.png")).astype(int) for name in ("plain", "turned"))
    expected = Script(letterbox=True).map(network, tmp_path / "in/plain.png", Form(64), 64)
    assert plain.shape == other.shape == (40, 120)
    assert np.abs(plain - expected).max() <= 1 and np.abs(plain - other).max() <= 1
    words = ("--output-format", "npy", "--segment", "jaccard", "--refine", "ultrametric")
    unsee("run", "in", "--model", network, "-o", "arrays", *BOXED, *words, cwd=tmp_path)
    raw, masks = (np.load(tmp_path / f"arrays/00000{name}.npy") for name in ("", "_masks"))
    assert (
        raw.shape == masks.shape == (2, 64, 64) and raw[:, :8].any() and raw[:, -8:].any()
    )  # of the image, not of borders
    unsee("run", "in", "--model", network, "-o", "promoted", *BOXED, "--promote", "promoter", cwd=tmp_path)
    unsee("run", "in", "--model", network, "-o", "cut", *BOXED, "--segment", "saliencycut", cwd=tmp_path)
    for folder in ("promoted", "cut"):
        for row in rows_of(tmp_path / folder):
            assert row["status"] == "success"
            assert Image.open(tmp_path / folder / f"{row['output']}.png").size == (120, 40)


def test_given_proposals_lie_where_the_image_does(tmp_path):
    pixels = np.full((100, 400, 3), 60, np.uint8)
    pixels[20:80, 40:120] = 220
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in/one.png")
    (tmp_path / "proposals/one").mkdir(parents=True)
    for name, box in {"right": (20, 80, 40, 120), "wrong": (0, 100, 200, 400)}.items():
        mask = np.zeros((100, 400), np.uint8)
        mask[box[0] : box[1], box[2] : box[3]] = 255
        Image.fromarray(mask).save(tmp_path / f"proposals/one/{name}.png")
    spec = {"mean": [0, 0, 0], "std": [1, 1, 1], "activation": "minmax", "resize": "letterbox"}
    inputs = [onnx.helper.make_tensor_value_info("x", 1, ["b", 3, 64, 64])]
    outputs = [onnx.helper.make_tensor_value_info("y", 1, ["b", 1, 64, 64])]
    node = onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])
    graph = onnx.helper.make_graph([node], "grey", inputs, outputs)
    opset = onnx.helper.make_opsetid("", 11)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=6), tmp_path / "grey.onnx")
    (tmp_path / "grey.json").write_text(json.dumps(spec))
    words = ("--segment", "jaccard", "--proposals", "proposals", "--output-kind", "mask")
    unsee("run", "in", "--model", "grey.onnx", "-o", "out", *words, cwd=tmp_path)
    rows, columns = np.nonzero(np.asarray(Image.open(tmp_path / "out/one.png")))
    assert abs(rows.min() - 20) <= 7 and abs(rows.max() - 79) <= 7
    assert abs(columns.min() - 40) <= 7 and abs(columns.max() - 119) <= 7


def test_detector_promoter_and_mirror_take_a_network(photographs, tmp_path):
    network = write_network(tmp_path / "u2net.onnx", Form(64, outputs=7))
    image = photographs / "01.png"
    found = package.Detector(network)(image)
    expected = U2NET.map(network, image, Form(64), 64)
    assert np.abs(np.asarray(found.map).astype(int) - expected).max() <= 1
    mine = write_network(tmp_path / "mine.onnx", Form(64, logits=True))
    spec = package.InputSpec(64, "BGR", 255.0, (127.5,) * 3, (127.5,) * 3)
    choice = package.NetworkChoice(activation="sigmoid")
    (tmp_path / "mine.json").write_text(json.dumps({"padding": 0}))
    flipped = np.asarray(Image.open(image).convert("RGB"))[..., ::-1]
    script = Script((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), sigmoid=True)
    Image.fromarray(flipped).save(tmp_path / "flipped.png")
    expected = script.map(mine, tmp_path / "flipped.png", Form(64), 64).astype(int)
    assert np.abs(package.Detector(mine, input=spec, network=choice)(image).map - expected).max() <= 1
    with pytest.raises(package.UnseeError, match="nothing says its mean and std"):
        package.Detector(mine)
    smooth = package.NetworkChoice(resample="bilinear")  # whose levels are nowhere cut
    unsee("run", image, "--model", network, "--mirror", "-o", "mirrored", "--resample", "bilinear", cwd=tmp_path)
    mirrored = tmp_path / "mirror.png"
    Image.open(image).convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    detector = package.Detector(network, network=smooth)
    one, other = (np.asarray(detector(path).map).astype(int) for path in (image, mirrored))
    mean = (one + other[:, ::-1]) / 2
    assert np.abs(np.asarray(Image.open(tmp_path / "mirrored/01.png")) - mean).max() <= 2
    map_checkpoint(tmp_path / "promoter", "promoter")
    promoted = package.Detector(network, promote=tmp_path / "promoter")(image)
    assert promoted.map.shape == found.map.shape and not np.array_equal(promoted.map, found.map)


CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, image):
        return {"map": self.second(torch.relu(self.first(image))), "other": image}

def make():
    return Net()
"""


@pytest.mark.proof
def test_a_module_of_ones_own_makes_maps(photographs, tmp_path):
    (tmp_path / "mynets.py").write_text(CODE)
    words = ("--method", "network", "--model", "mynets:make", *IMAGENET, "--input-size", 64, "--activation", "sigmoid")
    for backend in ("torch", "auto"):
        unsee("run", photographs, *words, "--backend", backend, "-o", backend, cwd=tmp_path)
    for name, data in bytes_below(tmp_path / "torch").items():
        if name.endswith(".png"):
            one, other = (np.asarray(Image.open(tmp_path / folder / name)).astype(int) for folder in ("torch", "auto"))
            assert np.abs(one - other).max() <= 1 and len(data) > 70
    words = ("--input-size", 64, *IMAGENET, "--activation", "sigmoid")
    unsee("wrap", "mynets:make", "bundle", *words, cwd=tmp_path)
    assert "with eager PyTorch when exported" in unsee("check", "bundle", cwd=tmp_path).out
    said = unsee("run", photographs, "--method", "network", "--model", "mynets:make", "-o", "x", cwd=tmp_path, expect=2)
    assert "nothing says its size and mean and std: give --input-size and --mean and --std" in said.err


def test_networks_are_scored_beside_ours(photographs, tmp_path):
    (tmp_path / "masks").mkdir()
    for path in photographs.glob("*.*g"):
        grey = np.asarray(Image.open(path).convert("L"))
        Image.fromarray(np.uint8(255 * (grey > grey.mean()))).save(tmp_path / f"masks/{path.stem}.png")
    write_network(tmp_path / "u2net.onnx", Form(64, outputs=7))
    words = ("--models", "unsee-small", "--methods", "best,rbd", "--network", "u2net.onnx", "--limit", 4)
    data = ("--images", photographs, "--gt", tmp_path / "masks", "--output", "table")
    out = unsee("bench", "quality", *words, *data, cwd=tmp_path).out
    rows = {(row["model"], row["method"]): row for row in json.loads(out.splitlines()[-1])["rows"]}
    assert set(rows) == {("unsee-small", "best"), ("u2net.onnx", "network"), ("-", "rbd")}
    size = (tmp_path / "u2net.onnx").stat().st_size / 1e6
    assert rows["u2net.onnx", "network"]["megabytes"] == size
    assert all(0 < row[name] < 1 for row in rows.values() for name in ("s_measure", "e_measure", "weighted_f", "mae"))
    (tmp_path / "other").mkdir()
    write_network(tmp_path / "other/u2net.onnx", Form(64, outputs=7), seed=1)
    words = ("--models", "unsee-small", "--methods", "rbd", "--network", "u2net.onnx", "--network", "other/u2net.onnx")
    out = unsee("bench", "quality", *words, "--limit", 1, *data, cwd=tmp_path).out
    assert {"u2net.onnx", "other/u2net.onnx"} <= {row["model"] for row in json.loads(out.splitlines()[-1])["rows"]}


@pytest.mark.ray
@pytest.mark.proof
def test_ray_runs_a_network(photographs, tmp_path):
    write_network(tmp_path / "u2net.onnx", Form(64, outputs=7))
    unsee("run", photographs, "--model", "u2net.onnx", "-o", "local", cwd=tmp_path)
    words = ("--distributor", "ray", "--processes", 2, "--number-sample-per-shard", 4)
    unsee("run", photographs, "--model", "u2net.onnx", "-o", "ray", *words, cwd=tmp_path)
    one, other = bytes_below(tmp_path / "local"), bytes_below(tmp_path / "ray")
    assert all(other[name] == data for name, data in one.items() if name.endswith(".png"))


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_box_without_torch_and_onnx_runs_the_bundle_and_says_what_the_file_needs(bare_venv, photographs, tmp_path):
    write_network(tmp_path / "u2net.onnx", Form(64, outputs=7))
    unsee("wrap", "u2net.onnx", "bundle", cwd=tmp_path)
    on_the_box(bare_venv, "check", "bundle", cwd=tmp_path)
    on_the_box(bare_venv, "run", photographs, "--model", "bundle", "-o", "maps", cwd=tmp_path)
    assert len(rows_of(tmp_path / "maps")) == 12
    said = on_the_box(bare_venv, "run", photographs, "--model", "u2net.onnx", "-o", "x", cwd=tmp_path, expect=5).err
    assert "needs onnx, which is not installed: pip install 'unsee[networks]'" in said


def _memory(process: subprocess.Popen) -> int:
    """Return the resident bytes of a process, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, IndexError):
        return 0


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_a_large_network_of_one_image_at_a_time_is_resumed_and_takes_no_more_memory(photographs, tmp_path):
    """1024 x 1024, a batch of one built in, 500 images: killed three times, and the same bytes as in one go."""
    write_network(tmp_path / "isnet-general-use.onnx", Form(1024, reshape=True))
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    for number in range(500):
        blocks = random.integers(0, 255, (5, 6, 3), np.uint8)
        Image.fromarray(blocks).resize((500, 375), Image.Resampling.BICUBIC).save(tmp_path / f"in/{number:03d}.jpg")
    words = ("run", "in", "--model", "isnet-general-use.onnx", "--number-sample-per-shard", 100)
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    memory = []
    with subprocess.Popen(command(*words, "-o", "whole"), **quiet) as process:
        while process.poll() is None:
            done = len(list((tmp_path / "whole").glob("*.png")))
            memory.append((done, _memory(process)))
            time.sleep(0.2)
    assert process.returncode == 0
    early = max(used for done, used in memory if 50 <= done < 200)
    late = max(used for done, used in memory if done >= 300)
    assert late <= 1.1 * early, (early, late)
    for wanted in (60, 170, 330):
        with subprocess.Popen(command(*words, "-o", "killed"), **quiet) as process:
            while len(list((tmp_path / "killed").glob("*.png"))) < wanted and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
    unsee(*words, "-o", "killed", cwd=tmp_path, timeout=900)
    unsee("verify", "killed", cwd=tmp_path)
    whole, killed = (
        {name: data for name, data in bytes_below(tmp_path / folder).items() if not name.endswith("_stats.json")}
        for folder in ("whole", "killed")
    )
    different = [name for name in whole if name != "plan.json" and whole[name] != killed.get(name)]
    assert not different and whole.keys() == killed.keys()
