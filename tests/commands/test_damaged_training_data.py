"""Training data are read by the same rules as images of a run."""

from unsee.tests.commands.running import unsee
from unsee.tests.pictures import cut, encoded, flipped, picture

JPEG, MASK = encoded(picture(), "JPEG"), encoded(picture().convert("L").point(lambda level: 255 * (level > 120)), "PNG")
IMAGES = {"good": JPEG, "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n", "metafile": b"\xd7\xcd\xc6\x9a" + bytes(60)}
IMAGES |= {"cut": cut(JPEG, 0.9), "no-end": JPEG[:-2], "mask": JPEG}


def test_damaged_and_foreign_files_are_named(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name, data in IMAGES.items():
        (tmp_path / f"images/{name}.jpg").write_bytes(data)
        (tmp_path / f"masks/{name}.png").write_bytes(MASK)
    place = MASK.index(b"IDAT") + 4
    (tmp_path / "masks/mask.png").write_bytes(flipped(MASK, place, len(MASK) - 16, 0))
    lines = unsee("train", "check", f"folder:{tmp_path}", expect=4).out.splitlines()
    damaged = {line.split(": ")[1]: line for line in lines if line.startswith("damaged: ")}
    assert damaged.keys() == {"postscript", "metafile", "cut", "mask"}
    assert "format EPS is not among JPEG" in damaged["postscript"]
    assert "format WMF is not among JPEG" in damaged["metafile"]
