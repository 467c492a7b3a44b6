"""What lies in folders: everything is done, failed or counted, and one bad thing is one failed row."""

import os
import shutil
from pathlib import Path

import pytest

from unsee.tests.commands.running import FAST, UNSEE, rows_of, statuses, unsee

SUCCESS = ("success", None)


def read_failure(code: str) -> tuple[str, str]:
    return "failed_to_read", code


def obedient(folder: Path) -> Path:
    """Return a command that obeys permissions, which root's would not."""
    if os.geteuid() != 0:
        return UNSEE
    if not shutil.which("setpriv"):
        pytest.skip("root reads every folder, and setpriv, which could take that right away, is not here")
    script = folder / "unsee"
    rights = "-dac_override,-dac_read_search"
    script.write_text(f'#!/bin/sh\nexec setpriv --bounding-set {rights} "{UNSEE}" "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture(scope="session")
def corpus(photographs, tmp_path_factory):
    """A folder of the things that folders in the field hold."""
    folder = tmp_path_factory.mktemp("field") / "in"
    image = (photographs / "00.jpg").read_bytes()
    for name in (
        "good.jpg", "twin.jpg", "twin.png", "._good.jpg", ".ipynb_checkpoints/good.jpg", "raw.heic", "none",
        "locked/hidden.jpg", "sub/inner.jpg",
    ):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.jpg").write_bytes(image)
    (folder / "link").symlink_to(elsewhere)
    (folder / "sub/up").symlink_to(folder)
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    (folder / "compressed.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    (folder / "junk.tar").write_bytes(b"junk" * 1000)
    (folder / "caf\udce9.jpg").write_bytes(image)
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.tar")
    (folder / "locked").chmod(0)
    yield folder
    (folder / "locked").chmod(0o700)


EXPECTED = {
    "good.jpg": SUCCESS,
    "twin.jpg": SUCCESS,
    "twin.png": SUCCESS,
    "inner.jpg": SUCCESS,
    "linked.jpg": SUCCESS,
    "caf\\xe9.jpg": SUCCESS,
    "broken.jpg": read_failure("FileNotFoundError"),
    "locked": read_failure("unreadable_folder"),
    "compressed.tar": read_failure("unreadable_archive"),
    "junk.tar": read_failure("damaged_archive"),
    "pipe.tar": read_failure("unreadable_archive"),
    "pipe.jpg": read_failure("not_a_file"),
}


def named(folder: Path) -> dict[str, tuple[str, str | None]]:
    return {name.replace("\udce9", "\\xe9"): found for name, found in statuses(folder).items()}


@pytest.fixture(scope="session")
def processed(corpus, tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processed")
    command = obedient(folder)
    options = ("--output-folder", folder / "out", "--model", tiny_bundle, *FAST)
    finished = unsee("run", corpus, *options, expect=3, executable=command)
    (folder / "said.txt").write_text(finished.err)
    return folder / "out"


@pytest.mark.parametrize("name", EXPECTED)
def test_each_thing_in_a_folder_has_its_row(processed, name):
    assert named(processed)[name] == EXPECTED[name]


def test_nothing_hidden_is_done_and_both_twins_are(processed):
    assert named(processed) == EXPECTED
    maps = {os.fsencode(path.relative_to(processed)) for path in processed.rglob("*.png")}
    assert maps == {
        b"good.png", b"twin.jpg.png", b"twin.png.png", b"sub/inner.png", b"link/linked.png", b"caf\xe9.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    "reason",
    ["1 hidden files", "1 hidden folders", "1 files with suffix .heic", "1 files without suffix", "1 loops of links"],
)
def test_what_is_left_out_is_said(processed, reason):
    assert reason in (processed.parent / "said.txt").read_text()


def test_pattern_finds_the_same(corpus, processed, tiny_bundle, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST)
    unsee("run", f"{corpus}/**/*", *options, expect=3, executable=obedient(tmp_path))
    assert named(tmp_path / "out") == EXPECTED


def test_pattern_of_braces_and_what_it_lacks(corpus, tiny_bundle, tmp_path):
    options = ("--model", tiny_bundle, "--output-format", "dummy", *FAST)
    unsee("run", "{good,sub/inner,.ipynb_checkpoints/*}.jpg", "--output-folder", tmp_path / "a", *options, cwd=corpus)
    assert {row["output"] for row in rows_of(tmp_path / "a")} == {"good", "sub/inner", ".ipynb_checkpoints/good"}
    options = ("--output-folder", tmp_path / "b", "--dry-run")
    assert "gone.jpg: no such file" in unsee("run", "{good,gone}.jpg", *options, cwd=corpus, expect=2).err


def test_zip_archive_says_what_to_do(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK\3\4")
    message = unsee("run", tmp_path / "photos.zip", "--output-folder", tmp_path / "out", "--dry-run", expect=2).err
    assert "unpack it" in message
