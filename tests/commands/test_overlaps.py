"""A run never writes over what it reads, over what it did not make, nor one result over another."""

import os
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.tests.commands.running import FAST, bytes_below, rows_of, unsee


@pytest.fixture
def corpus(photographs, tmp_path):
    """A working folder with a/cat.jpg, a/cup.png and links to them."""
    folder = tmp_path / "a"
    folder.mkdir()
    shutil.copy(photographs / "00.jpg", folder / "cat.jpg")
    shutil.copy(photographs / "01.png", folder / "cup.png")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "hard").mkdir()
    os.link(folder / "cup.png", tmp_path / "hard/cup.png")
    (folder / "list.txt").write_text("cup.png\n")
    (folder / "plan.json").write_text('["of somebody else"]')
    (tmp_path / "t").mkdir()
    with tarfile.open(tmp_path / "t/00000.tar", "w") as archive:
        archive.add(folder / "cup.png", "cup.png")
    (tmp_path / "p").mkdir()
    cells = pa.array([(folder / "cup.png").read_bytes()], pa.binary())
    pq.write_table(pa.table({"image": cells}), tmp_path / "p/00000.parquet")
    return tmp_path


OVERLAPS = {
    "pattern": ["a/*.png", "--output-folder", "a"],
    "file": ["a/cup.png", "--output-folder", "a"],
    "file beside itself": ["cup.png", "--output-folder", "."],
    "list": ["a/list.txt", "--output-folder", "a"],
    "folder": ["a", "--output-folder", "a"],
    "folder below": ["a", "--output-folder", "a/maps"],
    "folder through a link": ["link", "--output-folder", "a"],
    "file through a link": ["link/cup.png", "--output-folder", "a"],
    "output through a link": ["a/cup.png", "--output-folder", "link"],
    "absolute spelling": ["{here}/a/cup.png", "--output-folder", "a/../a"],
    "hard link": ["a/cup.png", "--output-folder", "hard"],
    "tars": ["t/*.tar", "--output-folder", "t", "--output-format", "webdataset"],
    "one tar": ["t/00000.tar", "--output-folder", "t", "--output-format", "webdataset"],
    "parquet": ["p/00000.parquet", "--output-folder", "p", "--output-format", "dummy"],
    "somebody else's rows": ["a/cup.png", "--output-folder", "p", "--output-format", "dummy"],
    "somebody else's plan": ["hard/cup.png", "--output-folder", "a", "--output-format", "dummy"],
    "somebody else's plan, overwritten": ["hard/cup.png", "--output-folder", "a", "--overwrite"],
    "pattern that would match the maps": ["a/*", "--output-folder", "a", "--output-names", "key"],
}


@pytest.mark.parametrize("case", OVERLAPS)
def test_overlap_is_refused_and_nothing_is_touched(corpus, tiny_bundle, case):
    before = bytes_below(corpus)
    arguments = [argument.format(here=corpus) for argument in OVERLAPS[case]]
    here = corpus / "a" if case == "file beside itself" else corpus
    message = unsee("run", *arguments, "--model", tiny_bundle, *FAST, cwd=here, expect=2).err
    assert len(message.strip().splitlines()) == 1, message
    assert bytes_below(corpus) == before


@pytest.mark.proof
def test_maps_of_an_earlier_run_are_no_inputs_of_the_next(corpus, tiny_bundle):
    options = ["--model", tiny_bundle, *FAST]
    unsee("run", "a/cup.png", "--output-folder", "maps", *options, cwd=corpus)
    before = bytes_below(corpus)
    (corpus / "linked.png").symlink_to("maps/cup.png")
    for given in ("maps/cup.png", "maps/*.png", "linked.png"):
        for how in ("--overwrite", "--extend"):
            unsee("run", given, "a/cup.png", "--output-folder", "maps", how, *options, cwd=corpus, expect=2)
    (corpus / "linked.png").unlink()
    assert bytes_below(corpus) == before


def test_map_beside_its_image_under_another_suffix_is_allowed(corpus, tiny_bundle):
    (corpus / "a/plan.json").unlink()
    before = bytes_below(corpus)
    for _ in range(2):
        unsee("run", "a/*.jpg", "--output-folder", "a", "--model", tiny_bundle, *FAST, cwd=corpus)
    after = bytes_below(corpus)
    assert {name: after[name] for name in before} == before
    assert "a/cat.png" in after


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["a.jpg", "a.mask.png"], ["--segment", "saliencycut"]),
        (["b.png", "b.jpg", "b.png.jpg"], []),
        (["c.png/d.jpg", "c.jpg"], []),
    ],
)
def test_two_results_under_one_name_are_refused(photographs, tiny_bundle, tmp_path, names, options):
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photographs / f"0{int(name.endswith('png'))}.{name[-3:]}", tmp_path / "in" / name)
    message = unsee("run", "in", "--output-folder", "out", "--model", tiny_bundle, *options, cwd=tmp_path, expect=2).err
    assert names[0].split("/")[0][:1] in message
    assert "--output-names key" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.proof
def test_one_rule_names_maps_of_folders_lists_patterns_and_arguments(photographs, tiny_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        shutil.copy(photographs / f"0{int(name.endswith('png'))}.{name[-3:]}", tmp_path / "in" / name)
    (tmp_path / "in/list.txt").write_text("a.jpg\na.png\nb.png\n")
    given = {
        "folder": ["in"],
        "list": ["in/list.txt"],
        "pattern": ["in/*.*g"],
        "files": ["in/a.jpg", "in/a.png", "in/b.png"],
    }
    for how, inputs in given.items():
        unsee("run", *inputs, "--output-folder", how, "--output-format", "dummy", "--model", tiny_bundle, cwd=tmp_path)
        assert [row["output"] for row in rows_of(tmp_path / how)] == ["a.jpg", "a.png", "b"], how
