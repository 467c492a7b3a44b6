"""`unsee eval` scores what the files mean, says what it doubts, leaves out what is no mask, and replaces nothing."""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.tests.commands.running import Finished, bytes_below, unsee

HEIGHT, WIDTH = 20, 30
OBJECT = np.zeros((HEIGHT, WIDTH), bool)
OBJECT[4:15, 8:22] = True
GREY = np.where(OBJECT, 255, 0).astype(np.uint8)
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[0, 0, 128] * 4, 128, 128, 128, *[64, 0, 0] * 247, 224, 224, 192]
"""The palette of PASCAL VOC as far as it matters: label 7 is grey, 255 the border that belongs to nothing."""
Write = Callable[[Path], None]


def save(pixels: np.ndarray, kind: str = "PNG") -> Write:
    return lambda path: Image.fromarray(pixels).save(path, kind)


def palette(indices: np.ndarray, colours: list[int]) -> Write:
    def write(path: Path) -> None:
        image = Image.fromarray(indices.astype(np.uint8), "P")
        image.putpalette(colours)
        image.save(path, "PNG")

    return write


def labels(*values: int) -> np.ndarray:
    """The object as the first label, with a border of the second."""
    indices = np.where(OBJECT, values[0], 0)
    indices[3, 8:22] = values[-1]
    return indices


def data(content: bytes) -> Write:
    return lambda path: path.write_bytes(content) and None


def bomb() -> bytes:
    """A PNG that claims 50,000 x 50,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 50000, 50000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


GOOD, SAME = save(GREY), save(GREY)
DEEP = OBJECT.astype(np.uint16)
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
NOT_FINITE = np.where(OBJECT, np.nan, 0).astype(np.float32)

READ = {
    "plain": (GOOD, SAME, None),
    "voc": (palette(labels(1, 255), VOC), SAME, "hold labels"),
    "davis": (palette(labels(2, 2) * OBJECT, VOC), SAME, "hold labels"),
    "car": (palette(labels(7, 7) * OBJECT, VOC), SAME, "hold labels"),
    "greypalette": (palette(OBJECT, [0, 0, 0, 255, 255, 255]), SAME, None),
    "deep255": (save(DEEP * 255), SAME, "hold 0 and one other"),
    "deep1": (save(DEEP), SAME, "hold 0 and one other"),
    "deep65535": (save(DEEP * 65535), SAME, None),
    "ones": (save(OBJECT.astype(np.uint8)), SAME, "hold 0 and one other"),
    "webpalette": (palette(OBJECT * 2, [0, 0, 0, 90, 0, 0, 255, 255, 255]), SAME, None),
    "onebit": (save(OBJECT), SAME, None),
    "floatmap": (GOOD, save(OBJECT.astype(np.float32), "TIFF"), None),
}
"""Masks that mean the object, in every way in which a file says so, with the doubt they are read in."""

DOUBTED = {
    "labels8": (save(labels(7, 9).astype(np.uint8)), SAME, "of which most"),
    "photograph": (save(NOISE // 2 + 60), SAME, "not black and white"),
    "rgbmask": (save(np.dstack([GREY, GREY * 0, GREY * 0])), SAME, "in colours"),
    "cutout": (save(np.dstack([GREY, GREY, GREY, GREY])), SAME, "with transparency"),
    "jetmap": (GOOD, save(NOISE), "in colours"),
    "flatmap": (GOOD, save(GREY * 0 + 9), "one value all over"),
    "shallow": (GOOD, save(DEEP * 200), "one value all over"),
    "squashed": (GOOD, save(np.zeros((9, 30), np.uint8) + GREY[:9]), "other proportions"),
}

FAILED = {
    "turned": (GOOD, save(GREY.T.copy()), "failed_to_score", "turned by 90 degrees"),
    "smallturned": (GOOD, save(GREY.T[::2, ::2].copy()), "failed_to_score", "turned by 90 degrees"),
    "deeplabels": (save(labels(3, 5).astype(np.uint16)), SAME, "failed_to_decode", "ambiguous_mask"),
    "redpalette": (palette(OBJECT, [9, 200, 0, 255, 0, 0]), SAME, "failed_to_decode", "ambiguous_mask"),
    "voidonly": (palette(OBJECT * 255, VOC), SAME, "failed_to_decode", "ambiguous_mask"),
    "emptymask": (data(b""), SAME, "failed_to_decode", "mask: empty_file"),
    "text": (GOOD, data(b"no image"), "failed_to_decode", "map: not_an_image"),
    "eps": (GOOD, data(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "failed_to_decode", "map: "),
    "cut": (GOOD, data(png(NOISE)[:300]), "failed_to_decode", "map: "),
    "bomb": (data(bomb()), SAME, "failed_to_decode", "mask: "),
    "nan": (GOOD, save(NOT_FINITE, "TIFF"), "failed_to_decode", "not finite"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of masks and one of maps with everything that is odd about them."""
    folder = tmp_path_factory.mktemp("odd")
    for name in ("gt/.cache", "pred/__MACOSX"):
        (folder / name).mkdir(parents=True)
    for name, (mask, saliency, *_) in {**READ, **DOUBTED, **FAILED}.items():
        mask(folder / f"gt/{name}.png")
        saliency(folder / f"pred/{name}.png")
    name = os.fsdecode(b"caf\xe9 \x1b[31m[red]")
    GOOD(folder / f"gt/{name}.png")
    SAME(folder / f"pred/{name}.png")
    GOOD(folder / f"gt/without {name}.png")
    for hidden in ("gt/._plain.png", "gt/.cache/plain.png", "pred/__MACOSX/._voc.png"):
        (folder / hidden).write_bytes(b"Mac OS X")
    GOOD(folder / "pred/plain.mask.png")
    return folder


@pytest.fixture(scope="module")
def scored(written: Path) -> tuple[dict[str, dict], Finished, dict]:
    """The rows by key, what the command printed, and its JSON."""
    options = ("--json", written / "out/r.json", "--per-image", written / "out/r.parquet", "--metrics", "mae")
    done = unsee("eval", "--pred", written / "pred", "--gt", written / "gt", *options, expect=3)
    rows = {row["key"]: row for row in pq.read_table(written / "out/r.parquet").to_pylist()}
    return rows, done, json.loads((written / "out/r.json").read_bytes().decode())


@pytest.mark.parametrize("name", READ)
def test_masks_are_read_as_they_are_meant_and_choices_said(name, scored):
    rows, done, _ = scored
    assert (rows[name]["status"], rows[name]["mae"]) == ("success", 0)
    doubt = READ[name][2]
    assert (rows[name]["doubts"] is None) if doubt is None else (doubt in rows[name]["doubts"] and doubt in done.err)


@pytest.mark.parametrize("name", DOUBTED)
def test_what_may_not_be_meant_is_scored_with_a_warning(name, scored):
    rows, done, _ = scored
    assert rows[name]["status"] == "success"
    assert DOUBTED[name][2] in rows[name]["doubts"]
    assert any(DOUBTED[name][2] in line for line in done.err.splitlines() if line.startswith("warning: "))


@pytest.mark.parametrize("name", FAILED)
def test_what_cannot_be_scored_is_a_row_with_its_reason(name, scored):
    rows, done, _ = scored
    status, reason = FAILED[name][2:]
    assert rows[name]["status"] == status
    assert reason in rows[name]["error_message"]
    assert any(line.startswith(f"{name}: ") and reason in line for line in done.err.splitlines())


def test_names_leave_as_text_and_steer_no_terminal(scored):
    rows, done, result = scored
    name = "caf\\xe9 \x1b[31m[red]"
    assert rows[name]["status"] == "success"
    assert rows[f"without {name}"]["status"] == "missing"
    assert result["results"][0]["missing"] == [f"without {name}"]
    assert "\x1b" not in done.err
    assert "without caf\\xe9 \\x1b[31m[red]: no map" in done.err


def test_a_log_shows_how_far_scoring_is(scored):
    rows, done, _ = scored
    pairs = sum(row["status"] != "missing" for row in rows.values())
    assert f"{pairs} of {pairs} pairs, {len(FAILED)} failed" in done.err


def test_hidden_files_and_cuts_are_left_out_and_counted(scored):
    rows, done, _ = scored
    assert not any(key.startswith(("._", ".cache")) for key in rows)
    assert "note: hidden files left out: 2 (" in done.err
    assert "note: hidden files left out: 1 (._voc.png)" in done.err
    assert "(plain.mask.png)" in done.err


def test_maps_that_have_no_mask_of_their_name_are_told(tmp_path):
    for folder, names in (("maps", ("a", "b_sal", "c")), ("masks", ("a", "b"))):
        (tmp_path / folder).mkdir()
        for name in names:
            save(GREY)(tmp_path / folder / f"{name}.png")
    said = unsee("eval", "--pred", "maps", "--gt", "masks", cwd=tmp_path, expect=3).err
    assert "note: maps without a mask of their name: 2 (b_sal, c)" in said and "b: no map" in said


def test_masks_without_an_object_anywhere_are_said_and_strict_ends_with_3(tmp_path):
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        save(GREY // 2)(tmp_path / f"gt/{index}.png")
        SAME(tmp_path / f"pred/{index}.png")
    said = unsee("eval", "--pred", "pred", "--gt", "gt", "--strict", cwd=tmp_path, expect=3).err
    assert "warning: all masks of one value all over: 3 (0.png, 1.png, 2.png)" in said
    unsee("eval", "--pred", "pred", "--gt", "gt", cwd=tmp_path)
    save(GREY)(tmp_path / "gt/1.png")
    for index in (0, 2):
        save(GREY * 0)(tmp_path / f"gt/{index}.png")
    said = unsee("eval", "--pred", "pred", "--gt", "gt", "--strict", cwd=tmp_path)
    assert "warning" not in said.err  # some masks without an object are what they are


def test_masks_beside_their_photographs_are_found(tmp_path):
    (tmp_path / "MSRA10K_Imgs_GT/Imgs").mkdir(parents=True)
    (tmp_path / "pred").mkdir()
    for index in range(2):
        GOOD(tmp_path / f"MSRA10K_Imgs_GT/Imgs/{index}.png")
        save(NOISE, "JPEG")(tmp_path / f"MSRA10K_Imgs_GT/Imgs/{index}.jpg")
        SAME(tmp_path / f"pred/{index}.png")
    done = unsee("eval", "--pred", "pred", "--gt", "MSRA10K_Imgs_GT", "--metrics", "mae", "--strict", cwd=tmp_path)
    assert "│ mae         │ 0.000 │" in done.out
    assert "photographs beside masks of the same name left out: 2 (0.jpg, 1.jpg)" in done.err
    GOOD(tmp_path / "MSRA10K_Imgs_GT/Imgs/0.bmp")
    assert (
        "which one is meant" in unsee("eval", "--pred", "pred", "--gt", "MSRA10K_Imgs_GT", cwd=tmp_path, expect=2).err
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
        GOOD(tmp_path / f"{folder}/a.png")
    return tmp_path


@pytest.mark.parametrize("option", ["--json", "--per-image", "--curves"])
def test_a_mask_is_never_written_over(small, option):
    before = bytes_below(small)
    done = unsee("eval", "--pred", "pred", "--gt", "gt", option, "gt/a.png", cwd=small, expect=2)
    assert f"{option} gt/a.png is there already" in done.err
    assert bytes_below(small) == before


def test_results_may_be_written_again(small):
    options = ("--json", "r.json", "--per-image", "r.parquet", "--curves", "c.png")
    for _ in range(2):
        unsee("eval", "--pred", "pred", "--gt", "gt", *options, cwd=small)


@pytest.mark.parametrize("missing", ["matplotlib", "torch"])
def test_missing_packages_end_with_5_only_where_they_are_needed(small, tmp_path, missing):
    hide = tmp_path / "hidden"
    hide.mkdir()
    (hide / f"{missing}.py").write_text(f"raise ModuleNotFoundError('hidden', name={missing!r})")
    env = {"PYTHONPATH": os.pathsep.join((str(hide), os.environ.get("PYTHONPATH", "")))}
    curves = ("--curves", "c.png") if missing == "matplotlib" else ()
    done = unsee("eval", "--pred", "pred", "--gt", "gt", *curves, cwd=small, env=env, expect=5 if curves else 0)
    assert ("unsee[report]" in done.err) == bool(curves)
    assert not (small / "c.png").exists()


def test_hostile_lists_of_the_toolkit_are_one_line(small):
    (small / "d.json").write_text("[" * 200000)
    done = unsee("eval", "--dataset-json", "d.json", "--method-json", "d.json", cwd=small, expect=2)
    assert len(done.err.strip().splitlines()) == 1


def test_the_toolkits_names_are_no_markup(small):
    (small / "d.json").write_text('\ufeff{"[/x]": {"mask": {"path": "gt"}}}')
    (small / "m.json").write_text(json.dumps({"[red]M\x1b": {"[/x]": {"path": "pred"}}}))
    done = unsee("eval", "--dataset-json", "d.json", "--method-json", "m.json", "--curves", "c.png", cwd=small)
    assert "[red]M\\x1b" in done.out
    assert "[/x]" in done.out


def test_the_headline_of_a_protocol_is_on_the_table(tmp_path):
    for folder, pixels in (("maps", np.where(OBJECT, 200, 90).astype(np.uint8)), ("masks", GREY)):
        (tmp_path / folder).mkdir()
        save(pixels)(tmp_path / folder / "a.png")
    shown = unsee("eval", "--pred", "maps", "--gt", "masks", "--protocol", "selfmask", cwd=tmp_path).out
    assert "imagemaxfmeasure" in shown and "F-measure, best threshold of each image" in shown
    plain = unsee("eval", "--pred", "maps", "--gt", "masks", cwd=tmp_path).out
    assert "imagemaxfmeasure" not in plain
