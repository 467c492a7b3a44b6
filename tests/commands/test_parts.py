"""`--part 3/16`: machines that see the same inputs and share nothing else take different ones, and all of them together."""

import io
import tarfile
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from unsee.engine.inputs.sources import Sources
from unsee.input_parts import BLOCK
from unsee.tests.commands.running import rows_of, unsee

FAST = ("--method", "rbd", "--number-sample-per-shard", 3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Seven tars of three pictures, and a folder of 2,345 empty files in place of images."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "tars").mkdir()
    random = np.random.default_rng(0)
    for number in range(7):
        with tarfile.open(folder / f"tars/{number:05d}.tar", "w") as archive:
            for place in range(3):
                buffer = io.BytesIO()
                Image.fromarray(random.integers(0, 255, (20, 30, 3), np.uint8)).save(buffer, "PNG")
                info = tarfile.TarInfo(f"{place}.png")
                info.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(info, buffer)
    (folder / "images").mkdir()
    for number in range(2345):
        (folder / f"images/{number:05d}.jpg").touch()
    return folder


def places(source, part=None):
    return [member.place for member in Sources((str(source),), part=part).stream()]


@pytest.mark.parametrize("source", ["tars", "images", "tars/{00000..00006}.tar", "images/*.jpg"])
@pytest.mark.parametrize("of", [1, 2, 3])
def test_parts_are_disjoint_and_make_up_the_whole(corpus, source, of):
    whole = places(corpus / source)
    found = [places(corpus / source, f"{number}/{of}") for number in range(1, of + 1)]
    assert all(part == places(corpus / source, f"{number}/{of}") for number, part in enumerate(found, 1))
    together = list(chain(*found))
    assert len(together) == len(set(together)) and sorted(together) == sorted(whole)
    assert max(map(len, found)) - min(map(len, found)) <= BLOCK


def test_a_list_falls_to_the_parts_in_blocks(tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{number:05d}.jpg\n" for number in range(2500)))
    first, second = (places(tmp_path / "list.txt", f"{number}/2") for number in (1, 2))
    assert [len(first), len(second)] == [1500, 1000]
    assert first[999].endswith("00999.jpg") and first[1000].endswith("02000.jpg") and second[0].endswith("01000.jpg")


def test_machines_finish_their_parts(corpus, tmp_path):
    whole = set()
    for number in (1, 2):
        unsee("run", corpus / "tars", "-o", f"part-{number}", "--part", f"{number}/2", *FAST, cwd=tmp_path)
        rows = rows_of(tmp_path / f"part-{number}")
        assert {row["status"] for row in rows} == {"success"} and len(rows) == (12 if number == 1 else 9)
        whole |= {row["path"] for row in rows}
    assert len(whole) == 21
    again = unsee("run", corpus / "tars", "-o", "part-1", "--part", "1/2", *FAST, cwd=tmp_path).err
    assert "nothing left to do" in again
    other = unsee("run", corpus / "tars", "-o", "part-1", "--part", "2/2", *FAST, cwd=tmp_path, expect=2).err
    assert "was planned for other inputs" in other


@pytest.mark.parametrize("part", ["0/2", "3/2", "1/0", "1", "a/b", "1/2/3", "-1/2"])
def test_what_is_no_part_is_one_error(part, corpus, tmp_path):
    said = unsee("run", corpus / "tars", "-o", tmp_path / "out", "--part", part, *FAST, expect=2).err
    assert "a part is written as 3/16" in said


def test_an_empty_part_says_why(corpus, tmp_path):
    said = unsee("run", corpus / "tars", "-o", tmp_path / "out", "--part", "8/8", *FAST, expect=2).err
    assert "part 8/8 is empty, there are fewer archives, or thousands of images, than parts" in said
