"""The Python interface as a user meets it: a fresh interpreter in a folder of photographs."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from unsee.tests.commands.running import rows_of


@pytest.fixture(scope="module")
def folder(photographs, tmp_path_factory):
    """A working folder with photos/."""
    place = tmp_path_factory.mktemp("python")
    shutil.copytree(photographs, place / "photos")
    return place


def python(folder, code, expect=0):
    """Run a few lines; return what they print, or the error."""
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=240)
    assert result.returncode == expect, result.stdout + result.stderr
    return result.stdout if expect == 0 else result.stderr


def test_a_folder_is_run_by_two_words(folder):
    said = python(
        folder,
        """
import unsee
seen = []
summary = unsee.run("photos", "out", method="rbd", output_kind="mask", progress=lambda *counts: seen.append(counts))
print(summary.count, summary.failed, seen[-1])
again = unsee.run(["photos"], "out", method="rbd", output_kind="mask")
print(again.count)
try:
    unsee.run("photos", "out", method="rbd")
except unsee.UnseeError as error:
    print(error)
print(unsee.run("photos", "out", method="rbd", overwrite=True).count)
""",
    )
    assert said.splitlines()[:2] == ["12 0 (12, 12, 0)", "12"]
    assert "pictures.output_kind: mask then, map now" in said and said.splitlines()[-1] == "12"
    assert len(rows_of(folder / "out")) == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("unsee.run('photos')", "an output folder is needed: unsee.run(inputs, output_folder)"),
        ("unsee.run('photos', 'x', metod='rbd')", "unknown setting 'metod'; did you mean method?"),
        ("unsee.run('photos', 'x', preset='bset')", "unknown preset 'bset'"),
        ("unsee.run('photos', 'x', method='rbd', max_shard_retry=-1)", "max shard retry at least 0"),
        ("unsee.run('absent', 'x', method='rbd')", "absent"),
        ("unsee.Detector(method='rbd')(None)", "expected a path, a PIL image, an array"),
        (
            "unsee.Detector(method='rbd', segment='jaccard')",
            'segment is a SegmentConfig, as unsee.SegmentConfig("jaccard")',
        ),
        ("unsee.run('photos', 'x', iteration=2)", "unknown setting 'iteration'; did you mean iterations?"),
        ("unsee.run('photos', 'x', iterations=0)", "iterations must be at least 1"),
        ("d = unsee.Detector(method='rbd'); d.close(); d('photos/00.jpg')", "the detector is closed"),
    ],
)
def test_mistakes_are_one_error_of_ours(folder, call, message):
    last = python(folder, f"import unsee; {call}", expect=1).splitlines()[-1]
    assert last.startswith("unsee.errors.UnseeError: ") and message in last
    assert not (folder / "x").exists()


def test_what_is_no_image_is_named_by_its_place(folder):
    for image, reason in (("open('photos/00.jpg', 'rb')", "is an open file: give its path"), ("''", "is empty")):
        last = python(folder, f"import unsee; unsee.Detector(method='rbd')({image})", expect=1).splitlines()[-1]
        assert last.startswith("unsee.engine.detector.FailedItemError: image 0: ") and reason in last


def test_errors_can_end_a_run(folder):
    (folder / "bad").mkdir()
    (folder / "bad/a.png").write_bytes(b"no image")
    call = "import unsee; unsee.run('bad', 'ended', method='rbd', on_error='raise')"
    assert "BadImageError" in python(folder, call, expect=1)


def test_what_is_found_can_be_saved_and_cut_out(folder):
    said = python(
        folder,
        """
import unsee
found = unsee.Detector(method="rbd")("photos/01.png")
print(found)
print(found.save("m.png"), found.save("o.jpg", "overlay"), found.save("c.png", "cutout"), found.save("x.webp", "crop"))
for call in (lambda: found.save("m.txt"), lambda: found.save("m.png", "film"), lambda: found.save("no/m.png")):
    try:
        call()
    except unsee.UnseeError as error:
        print(error)
""",
    )
    assert said.startswith("Saliency(47x58, box=[") and "array" not in said
    assert "names no format" in said and "a picture is one of map, mask" in said and "cannot be written" in said
    photograph = Image.open(folder / "photos/01.png").convert("RGB")
    assert Image.open(folder / "m.png").mode == "L" and Image.open(folder / "o.jpg").size == photograph.size
    cutout = Image.open(folder / "c.png")
    assert cutout.mode == "RGBA" and cutout.convert("RGB").tobytes() == photograph.tobytes()
    assert Image.open(folder / "x.webp").width <= photograph.width


def test_boxes_and_masks_are_those_of_a_run(folder):
    said = python(
        folder,
        """
import unsee, numpy as np, pyarrow.parquet as pq
from PIL import Image
unsee.run("photos", "as-masks", method="rbd", output_kind="mask")
detector = unsee.Detector(method="rbd")
for row in pq.read_table("as-masks/00000.parquet").to_pylist():
    found, mask = detector(row["path"]), np.asarray(Image.open(f"as-masks/{row['output']}.png"))
    print(found.box == row["box"], (found.object_mask() == mask).all())
""",
    )
    assert said == "True True\n" * 12


def test_arrays_and_tensors_of_every_kind_give_the_same_map(folder):
    Image.open(folder / "photos/01.png").convert("L").save(folder / "grey.png")
    said = python(
        folder,
        """
import numpy as np, torch, unsee
from PIL import Image
d = unsee.Detector(method="rbd")
rgb = np.asarray(Image.open("photos/01.png").convert("RGB"))
grey = np.asarray(Image.open("grey.png"))
opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)
same = [rgb, opaque, rgb / 255, (rgb / 255).astype(np.float32), Image.fromarray(rgb), tensor, tensor / 255]
print(all(np.array_equal(d(image).map, d("photos/01.png").map) for image in same))
greys = [grey, grey[..., None], grey / 255, torch.from_numpy(grey.copy())[None]]
print(all(np.array_equal(d(image).map, d("grey.png").map) for image in greys))
print(len(d(np.stack([rgb, rgb]))), len(d(torch.stack([tensor, tensor]))), d(grey > 100).map.shape)
print(d(tensor).cutout().size, d(grey).overlay().mode)
print(d((tensor / 255).bfloat16()).map.shape)
for wrong in (rgb.astype(np.int32), rgb * 1.0, np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8),
              torch.zeros(5, 4, 3), np.full((4, 4), np.nan)):
    try:
        d(wrong)
    except unsee.UnseeError as error:
        print("error", error)
""",
    )
    lines = said.splitlines()
    assert lines[:5] == ["True", "True", "2 2 (58, 47)", "(47, 58) RGB", "(58, 47)"]
    assert sum(line.startswith("error image 0: ") for line in lines) == 6
    assert "values from 0 to 1" in said and "channels first" in said


def test_the_names_are_there_and_typed(folder):
    said = python(folder, "import unsee; print(*dir(unsee)); print(unsee.__file__)")
    assert {"Detector", "run", "saliency", "Saliency", "RunConfig"} <= set(said.split())
    assert np.all([(folder / "photos").is_dir()])


def test_a_turned_photograph_is_cut_out_upright(folder):
    pixels = np.full((40, 80, 3), 110, np.uint8)
    pixels[10:30, 20:50] = (220, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "turned.jpg", exif=exif, quality=95)
    said = python(folder, "import unsee; f = unsee.Detector(method='rbd')('turned.jpg'); print(f.cutout().size, f.box)")
    assert said.startswith("(40, 80) [")
