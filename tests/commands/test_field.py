"""Run directories that time, disks and people have been at: what each command then says, and what it does."""

import shutil
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from unsee.engine.plans.earlier_run import forget
from unsee.engine.verify import faults
from unsee.tests.commands.running import statuses, unsee

QUICK = ("--method", "saliency-filters", "--number-sample-per-shard", "2")
"""A method that needs no model."""


@pytest.fixture(scope="module")
def finished(photographs, tmp_path_factory):
    """A working folder with in/, three pictures of which one is damaged, and out/, their run."""
    corpus = tmp_path_factory.mktemp("field")
    (corpus / "in").mkdir()
    for name in ("00.jpg", "01.png"):
        shutil.copy(photographs / name, corpus / "in")
    (corpus / "in/02.jpg").write_bytes((photographs / "02.jpg").read_bytes()[:300])
    run(corpus, expect=3)
    return corpus


@pytest.fixture
def corpus(finished, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(finished, tmp_path / "corpus")


def run(corpus, *options, output="out", expect=0):
    return unsee("run", "in", "--output-folder", output, *QUICK, *options, cwd=corpus, expect=expect).err


@pytest.mark.parametrize("removed", [["objectness", "has_object"], ["mask_area", "mask_sha256", "has_object"]])
def test_rows_of_an_earlier_version_lack_columns_and_are_read_all_the_same(corpus, removed):
    for path in (corpus / "out").glob("[0-9]*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(removed), path)
    assert "every row and map is there" in unsee("verify", "out", cwd=corpus).out
    assert unsee("report", "out", cwd=corpus).out == "out/report.html\n"
    unsee("eval", "--pred", "out", "--gt", "out", cwd=corpus)
    assert "02.jpg" in run(corpus, expect=3)


@pytest.mark.parametrize("damage", [b"", b"junk", None], ids=["empty", "junk", "missing"])
def test_rows_that_cannot_be_read_are_said_to_be_and_made_again(corpus, photographs, damage):
    rows = corpus / "out/00001.parquet"
    rows.unlink() if damage is None else rows.write_bytes(damage)
    for command in (("report", "out"), ("eval", "--pred", "out", "--gt", "in")):
        assert "00001.parquet cannot be read" in unsee(*command, cwd=corpus, expect=2).err
    assert "00001.parquet cannot be read" in unsee("verify", "out", cwd=corpus, expect=4).err
    shutil.copy(photographs / "02.jpg", corpus / "in")
    assert "unsee run --repair makes the shard again" in run(corpus, "--retry-errors", "all", expect=2)
    run(corpus, "--retry-errors", "all", "--repair")
    assert set(statuses(corpus / "out").values()) == {("success", None)}
    unsee("verify", "out", cwd=corpus)


@pytest.mark.parametrize("damage", [b"", b"junk"], ids=["empty", "junk"])
@pytest.mark.parametrize(("output_format", "name"), [("webdataset", "00000.tar"), ("npy", "00000.npy")])
def test_archives_that_cannot_be_read_are_said_to_be_and_made_again(corpus, output_format, name, damage):
    options = ("--output-format", output_format)
    run(corpus, *options, output="other", expect=3)
    before = (corpus / "other" / name).read_bytes()
    (corpus / "other" / name).write_bytes(damage)
    assert f"{name} cannot be read" in unsee("verify", "other", cwd=corpus, expect=4).err
    if output_format == "webdataset":
        assert f"{name} cannot be read" in unsee("report", "other", cwd=corpus, expect=2).err
    run(corpus, *options, "--repair", output="other", expect=3)
    assert (corpus / "other" / name).read_bytes() == before


def test_one_of_a_thing_is_no_plural(corpus):
    (corpus / "out/00.png").unlink()
    assert "out: 1 fault;" in unsee("verify", "out", cwd=corpus, expect=4).err
    single = unsee("run", "in/00.jpg", "--output-folder", "single", *QUICK, cwd=corpus).err
    assert "1 image, 0 failed" in single
    dry = unsee("run", "in/00.jpg", "--output-folder", "dry", *QUICK, "--dry-run", cwd=corpus).out
    assert "1 input in 1 shard of up to 2" in dry


def test_a_run_with_nothing_left_to_do_counts_no_images(corpus):
    said = run(corpus, expect=3)
    assert "nothing left to do" in said
    assert "0 of 0" not in said


@pytest.mark.parametrize("output", ["", "file", "file/below", "link", "link/below"])
def test_an_output_folder_that_can_be_none_is_refused(corpus, output):
    (corpus / "file").write_text("mine")
    (corpus / "link").symlink_to("nowhere")
    before = sorted(corpus.iterdir())
    said = run(corpus, output=output, expect=2)
    assert "no folder: choose another output folder" in said if output else "has no name" in said
    assert len(said.splitlines()) == 1
    assert sorted(corpus.iterdir()) == before


@pytest.mark.parametrize("removals", range(1, 12))
def test_what_a_killed_overwrite_has_removed_is_not_called_done(corpus, monkeypatch, removals):
    left, remove = iter(range(removals)), Path.unlink

    def removed(path, missing_ok=False):
        if path.exists() and next(left, None) is None:
            raise KeyboardInterrupt
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", removed)
    with suppress(KeyboardInterrupt):
        forget(corpus / "out")
    monkeypatch.undo()
    if (corpus / "out/plan.json").exists():
        assert {fault.split(": ")[1] for fault in faults(corpus / "out")} == {"not done"}
