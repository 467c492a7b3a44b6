"""Damage is told from oddity: no wrong pixels pass for a success, and no whole image is lost over its metadata."""

import os
import zlib

import numpy as np
import pytest
from PIL import Image

from unsee.bench.command_memory import most_held
from unsee.tests.commands.running import FAST, command, rows_of, statuses, unsee
from unsee.tests.pictures import chunk, cut, encoded, flipped, interlaced_png, picture, with_chunk

PICTURE = picture()
PNG, JPEG = encoded(PICTURE, "PNG"), encoded(PICTURE, "JPEG", quality=90)
PROGRESSIVE = encoded(PICTURE, "JPEG", quality=90, progressive=True)
PALETTE = encoded(PICTURE.quantize(16), "PNG")
ANIMATED = encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)])
ICON = encoded(PICTURE, "ICO", sizes=[(48, 36)])
INTERLACED = interlaced_png(PICTURE)
BROKEN_TEXT = flipped(chunk(b"tEXt", b"Comment\0" + b"a" * 100), 10, 90, 0)
DAMAGED, UNSUPPORTED = ("failed_to_decode", "damaged"), ("failed_to_decode", "unsupported_format")


def pixel_bytes(png):
    """The first byte of a PNG's first pixels, and that of its last chunk."""
    return png.index(b"IDAT") - 4, len(png) - 12


FLIPPED = {
    f"flipped-{name}-{seed}.png": flipped(png, *pixel_bytes(png), seed)
    for name, png in (("rgb", PNG), ("palette", PALETTE), ("interlaced", INTERLACED))
    for seed in range(25)
}
FLIPPED |= {f"flipped-colors-{seed}.png": flipped(PALETTE, 33, pixel_bytes(PALETTE)[0], seed) for seed in range(15)}
FLIPPED |= {f"flipped-icon-{seed}.ico": flipped(ICON, *pixel_bytes(ICON), seed) for seed in range(10)}
CUT = {
    f"cut-{share:g}.{name.split('.')[-1]}-{name.split('.')[0]}": cut(data, share)
    for share in (0.99, 0.9, 0.5)
    for name, data in {
        "plain.png": PNG,
        "plain.jpg": JPEG,
        "progressive.jpg": PROGRESSIVE,
        "plain.gif": encoded(PICTURE, "GIF"),
        "plain.bmp": encoded(PICTURE, "BMP"),
        "raw.tif": encoded(PICTURE, "TIFF"),
        "lzw.tif": encoded(PICTURE, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(PICTURE, "TIFF", compression="jpeg"),
        "plain.webp": encoded(PICTURE, "WEBP"),
    }.items()
}
WHOLE = {
    "png": {
        "whole.png": PNG,
        "no-end.png": PNG[:-12],
        "half-an-end.png": PNG[:-5],
        "compressed-text.png": with_chunk(PNG, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2**21))),
        "profile.png": encoded(PICTURE, "PNG", icc_profile=np.random.default_rng(0).bytes(1_500_000)),
        "broken-text.png": with_chunk(PNG, BROKEN_TEXT),
        "interlaced.png": INTERLACED,
        "animated.png": ANIMATED,
        "many-texts.png": with_chunk(PNG, chunk(b"tEXt", b"XML:com.adobe.xmp\0" + b"a" * 2**20) * 70),
    },
    "jpeg": {
        "whole.jpg": JPEG,
        "no-end.jpg": JPEG[:-2],
        "half-an-end.jpg": JPEG[:-1],
        "trailer.jpg": JPEG + b"\0" * 99,
    },
    "progressive": {"whole-progressive.jpg": PROGRESSIVE, "no-end-progressive.jpg": PROGRESSIVE[:-2]},
    "icon": {"whole.ico": ICON},
}
FOREIGN = {
    "PSD": b"8BPS\0\1" + b"\0" * 99,
    "DDS": b"DDS |\0\0\0" + b"\0" * 99,
    "QOI": b"qoif\0\0\0\x09\0\0\0\x09\3\0" + b"\xc0" * 40,
    "ICNS": b"icns\0\0\0\x99" + b"\0" * 99,
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99,
    "JPEG XL": b"\xff\x0a" + b"\0" * 99,
    "PDF": b"%PDF-1.7\n" + b"\0" * 99,
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "CUR": b"\0\0\2\0\1\0" + ICON[6:],
}


def turned(file_format, orientation, **options):
    """The picture as a camera stores it that was held another way, and says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}[orientation]
    return encoded(PICTURE.transpose(turn), file_format, exif=exif, **options)


TURNED = {f"turned-{orientation}.tif": turned("TIFF", orientation) for orientation in (3, 6, 8)}
TURNED |= {"turned-lzw.tif": turned("TIFF", 6, compression="tiff_lzw"), "turned.webp": turned("WEBP", 8, lossless=True)}
TURNED |= {"turned.png": turned("PNG", 6)}


@pytest.fixture(scope="module")
def run(tiny_bundle, tmp_path_factory):
    """One run over all of these files: what it printed, and its directory."""
    folder = tmp_path_factory.mktemp("damaged")
    foreign = {f"{name}.png": data for name, data in FOREIGN.items()}
    cut_files = {f"{number}-{name.replace('.', '_')}": data for number, (name, data) in enumerate(CUT.items())}
    for name, data in {
        **FLIPPED,
        **foreign,
        **TURNED,
        **{k: v for same in WHOLE.values() for k, v in same.items()},
    }.items():
        (folder / name).write_bytes(data)
    (folder / "cut").mkdir()
    for name, data in cut_files.items():
        (folder / "cut" / f"{name}.png").write_bytes(data)
    out = folder.parent / "damaged-out"
    options = ("--model", tiny_bundle, *FAST, "--number-sample-per-shard", 1000)
    return unsee("run", folder, "--output-folder", out, *options, expect=3), out


def test_no_flipped_bit_of_pixels_passes(run):
    found = statuses(run[1])
    assert {name: found[name] for name in FLIPPED} == dict.fromkeys(FLIPPED, DAMAGED)


def test_no_file_that_is_cut_short_passes(run):
    found = {row["output"]: (row["status"], row["error_code"]) for row in rows_of(run[1]) if "cut" in row["output"]}
    assert len(found) == len(CUT)
    assert {name: code for name, code in found.items() if code != DAMAGED} == {}


@pytest.mark.parametrize("kind", WHOLE)
def test_oddities_around_whole_pixels_change_nothing(run, kind):
    found = statuses(run[1], "status", "map_sha256", "width", "height")
    assert {found[name] for name in WHOLE[kind]} == {found[next(iter(WHOLE[kind]))]}
    assert found[next(iter(WHOLE[kind]))][0] == "success"


@pytest.mark.parametrize("name", FOREIGN)
def test_formats_that_are_not_read_are_named(run, name):
    (row,) = (row for row in rows_of(run[1]) if row["output"] == name)
    assert (row["status"], row["error_code"]) == UNSUPPORTED
    assert row["error_message"].startswith(f"format {name} is not among JPEG, PNG, ")


@pytest.mark.parametrize("name", TURNED)
def test_every_format_is_turned_once(run, name):
    found = statuses(run[1], "map_sha256", "width", "height")
    assert found[name] == found["whole.png"]


def of_decoders(message):
    """Lines of libtiff and of warnings; those of our own that name a failed image are indented."""
    words = ("TIFF", "tiff", "Warning", "warn")
    return [line for line in message.splitlines() if not line.startswith("  ") and any(word in line for word in words)]


def test_standard_error_holds_only_lines_of_the_command(run):
    assert of_decoders(run[0].err) == []


@pytest.mark.proof
def test_hostile_files_leave_standard_error_to_the_command(shared, tiny_bundle, tmp_path):
    options = ("--model", tiny_bundle, *FAST, "--number-sample-per-shard", 100, "--processes", 2)
    message = unsee("run", shared / "data/hostile", "--output-folder", tmp_path / "out", *options, expect=3).err
    assert of_decoders(message) == []


@pytest.mark.proof
def test_limit_of_pixels_is_the_commands_own(tiny_bundle, tmp_path):
    images = [tmp_path / "large.png", tmp_path / "huge.gif"]
    for path in images:
        Image.new("1", (13_400, 13_400)).save(path)
    run = ("run", *images, "--model", tiny_bundle, *FAST, "--output-format", "dummy")
    unsee(*run, "--output-folder", tmp_path / "out", "--max-pixels", 180_000_000)
    unsee(*run, "--output-folder", tmp_path / "refused", "--max-pixels", 179_000_000, expect=3)
    assert set(statuses(tmp_path / "refused").values()) == {("failed_to_decode", "too_large")}


@pytest.mark.proof
def test_large_images_are_not_in_memory_together(tiny_bundle, tmp_path):
    Image.new("RGBA", (10_000, 10_000), (10, 200, 30, 128)).save(tmp_path / "0.png", compress_level=1)
    for number in range(1, 4):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    options = ("--model", tiny_bundle, *FAST, "--workers", 4, "--output-format", "dummy")
    line = command("run", *sorted(tmp_path.glob("*.png")), "--output-folder", tmp_path / "out", *options)
    assert most_held(line) < 2000  # megabytes; decoded together they take more than 6 GB
