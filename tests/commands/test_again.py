"""The same folder again: overwritten, extended, retried, repaired, interrupted, and after an upgrade."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from unsee.tests.commands.running import bytes_below, command, rows_of, statuses, unsee

QUICK = ("--method", "saliency-filters", "--number-sample-per-shard", "4", "--batch-size", "2")
"""A method that needs no model."""


def without_times(folder):
    return {name: data for name, data in bytes_below(folder).items() if not name.endswith("_stats.json")}


def spoilt(data):
    """Other bytes in the first quarter, where every format has its maps, and at the end, where parquet has its footer."""
    place = len(data) // 4
    return data[:place] + b"other" * 8 + data[place + 40 : -8] + b"no footer"[:8]


@pytest.fixture(scope="module")
def runs(photographs, tmp_path_factory):
    """Return a function that makes a working folder with in/ - nine pictures, one in a sub-folder, and a damaged one - and
    with the finished run of a format in out/, once for all tests.
    """
    made = {}

    def run_of(output_format):
        if output_format not in made:
            folder = made[output_format] = tmp_path_factory.mktemp(output_format)
            (folder / "in/sub").mkdir(parents=True)
            for number in range(8):
                shutil.copy(photographs / f"{number:02d}.{'png' if number % 2 else 'jpg'}", folder / "in")
            shutil.copy(photographs / "08.jpg", folder / "in/sub")
            (folder / "in/bad.jpg").write_bytes(b"not yet")
            message = run(folder, "--output-format", output_format, expect=3)
            assert "in/bad.jpg: not_an_image" in message
            assert "out/[0-9]*.parquet" in message
        return made[output_format]

    return run_of


@pytest.fixture
def finished(runs, tmp_path):
    """Return a function that copies the working folder of a format."""
    return lambda output_format="files": shutil.copytree(runs(output_format), tmp_path / "work")


@pytest.fixture
def corpus(finished):
    """A working folder with in/ and the finished run out/."""
    return finished()


def run(corpus, *options, output="out", expect=0, inputs=("in",)):
    return unsee("run", *inputs, "--output-folder", output, *QUICK, *options, cwd=corpus, expect=expect).err


def plan_set_aside(folder):
    return {name: data for name, data in without_times(folder).items() if name != "plan.json"}


@pytest.mark.parametrize("output_format", ["files", "webdataset"])
def test_overwrite_leaves_nothing_of_the_earlier_run(finished, output_format):
    corpus = finished(output_format)
    (corpus / "out/notes.txt").write_text("mine")
    shutil.rmtree(corpus / "in/sub")
    for number in range(2, 8):
        next((corpus / "in").glob(f"0{number}.*")).unlink()
    run(corpus, "--overwrite", expect=3)
    names = set(bytes_below(corpus / "out"))
    assert names == {"plan.json", "plan.parquet", "notes.txt", "00000.parquet", "00000_stats.json", "00.png", "01.png"}
    assert not (corpus / "out/sub").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [("plan.json", b""), ("plan.json", b"[" * 100_000), ("plan.parquet", b"{"), ("plan.json", b"null")],
)
def test_a_damaged_plan_is_one_line_and_can_be_overwritten(corpus, name, damage):
    before = plan_set_aside(corpus / "out")
    (corpus / "out" / name).write_bytes(damage)
    assert name in run(corpus, expect=2)
    assert unsee("status", "out", cwd=corpus, expect=2).err.count("\n") == 1
    run(corpus, "--overwrite", expect=3)
    assert plan_set_aside(corpus / "out") == before


@pytest.mark.parametrize("damage", [b"", b'{"count": []}'])
def test_a_damaged_done_mark_is_one_line_and_can_be_repaired(corpus, damage):
    before = without_times(corpus / "out")
    (corpus / "out/00001_stats.json").write_bytes(damage)
    for arguments in (["status", "out"], ["report", "out"]):
        assert "--repair" in unsee(*arguments, cwd=corpus, expect=2).err
    assert "--repair" in run(corpus, expect=2)
    run(corpus, "--repair", expect=3)
    unsee("verify", "out", cwd=corpus)
    assert without_times(corpus / "out") == before


def test_extension_that_was_killed_between_its_two_plan_files_goes_on(corpus):
    summary = (corpus / "out/plan.json").read_bytes()
    shutil.copy(corpus / "in/00.jpg", corpus / "in/new.jpg")
    run(corpus, "--extend", expect=3)
    (corpus / "out/plan.json").write_bytes(summary)
    for name in ("00003.parquet", "00003_stats.json", "new.png"):
        (corpus / "out" / name).unlink()
    assert "1 new" in run(corpus, expect=2)
    run(corpus, "--extend", expect=3)
    assert (corpus / "out/new.png").exists()
    assert len(rows_of(corpus / "out")) == 11
    unsee("verify", "out", cwd=corpus)


def test_new_inputs_keep_their_extension_where_a_planned_map_has_the_name(corpus):
    before = without_times(corpus / "out")["00.png"]
    shutil.copy(corpus / "in/01.png", corpus / "in/00.png")
    run(corpus, "--extend", expect=3)
    assert statuses(corpus / "out", "output")["00.png"] == ("00.png",)
    assert without_times(corpus / "out")["00.png"] == before


def test_words_that_contradict_or_name_nothing_are_told(corpus):
    for other in ("--extend", "--repair"):
        assert f"nothing is left for {other}" in run(corpus, "--overwrite", other, expect=2)
    assert "no image failed with timeuot; there are not_an_image" in run(corpus, "--retry-errors", "timeuot", expect=3)
    assert "an input has no name" in run(corpus, inputs=("",), expect=2)


def test_inputs_that_came_and_went_are_told_apart(corpus):
    shutil.copy(corpus / "in/00.jpg", corpus / "in/later.jpg")
    assert "--extend takes up what is new" in run(corpus, expect=2)
    (corpus / "in/01.png").unlink()
    for options in ((), ("--extend",)):
        said = run(corpus, *options, expect=2)
        assert "1 gone (in/01.png)" in said and "restore what is gone" in said and "--extend" not in said


def test_another_version_of_the_algorithm_is_refused(corpus):
    plan = json.loads((corpus / "out/plan.json").read_text())
    for change in ({"algorithm": 1}, None):
        old = {key: value for key, value in plan["identity"].items() if key != "algorithm"} | (change or {})
        (corpus / "out/plan.json").write_text(json.dumps(plan | {"identity": old}))
        assert "algorithm: " in run(corpus, expect=2)
    unsee("verify", "out", cwd=corpus)


@pytest.mark.parametrize("output_format", ["files", "npy"])
def test_a_repaired_input_is_tried_again_and_nothing_else(finished, output_format):
    corpus, options = finished(output_format), ("--output-format", output_format)
    shutil.copy(corpus / "in/00.jpg", corpus / "in/bad.jpg")
    assert "in/bad.jpg: 7 bytes then" in (refused := run(corpus, *options, expect=2))
    assert "--retry-errors" in refused
    run(corpus, *options, "--retry-errors", "not_an_image")
    unsee("verify", "out", cwd=corpus)
    run(corpus, *options, output="whole")
    assert plan_set_aside(corpus / "out") == plan_set_aside(corpus / "whole")


def test_an_input_that_arrives_is_tried_again_and_a_changed_success_is_refused(corpus):
    (corpus / "in/list.txt").write_text("00.jpg\nlate.jpg\n01.png\n")
    given = {"inputs": ("in/list.txt",), "output": "listed"}
    run(corpus, **given, expect=3)
    shutil.copy(corpus / "in/02.jpg", corpus / "in/late.jpg")
    assert "late.jpg: not there then" in run(corpus, **given, expect=2)
    run(corpus, "--retry-errors", "all", **given)
    assert (corpus / "listed/late.png").exists()
    shutil.copy(corpus / "in/02.jpg", corpus / "in/01.png")
    assert "01.png has changed since its map was made" in run(corpus, "--retry-errors", "all", **given, expect=2)


@pytest.mark.parametrize("output_format", ["files", "webdataset", "npy"])
def test_repair_makes_again_what_is_missing_or_damaged(finished, output_format):
    corpus = finished(output_format)
    before = without_times(corpus / "out")
    damaged = {"files": ["00.png", "sub/08.png"], "webdataset": ["00000.tar"], "npy": ["00001.npy"]}
    for name in [*damaged[output_format], "00002.parquet"]:
        path = corpus / "out" / name
        path.write_bytes(spoilt(path.read_bytes()))
    if output_format == "files":
        (corpus / "out/01.png").unlink()
    unsee("verify", "out", cwd=corpus, expect=4)
    said = run(corpus, "--output-format", output_format, "--repair", expect=3)
    carried = sum(json.loads(path.read_text())["carried"] for path in (corpus / "out").glob("*_stats.json"))
    counted = max(map(int, re.findall(r"of (\d+) images", said)))
    assert 0 < carried < counted and f"({counted - carried} in this run, " in said
    unsee("verify", "out", cwd=corpus)
    assert without_times(corpus / "out") == before


@pytest.mark.parametrize(
    ("output_format", "number"),
    [
        ("files", signal.SIGINT),
        ("webdataset", signal.SIGKILL),
        pytest.param("npy", signal.SIGINT, marks=pytest.mark.proof),
        pytest.param("parquet", signal.SIGKILL, marks=pytest.mark.proof),
    ],
)
def test_an_interrupted_shard_keeps_what_is_finished(photographs, tmp_path, output_format, number):
    (tmp_path / "in").mkdir()
    for copy in range(120):
        shutil.copy(photographs / "00.jpg", tmp_path / f"in/{copy:03d}.jpg")
    arguments = ["run", "in", "--method", "saliency-filters", "--output-format", output_format, "--batch-size", "2"]
    journal = tmp_path / "out/.00000.journal"
    process = subprocess.Popen(
        command(*arguments, "--output-folder", "out"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b'"row"') < 20):
        time.sleep(0.005)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    kept = journal.read_bytes().count(b'"row"')
    assert 20 <= kept < 120
    unsee(*arguments, "--output-folder", "out", cwd=tmp_path)
    stats = json.loads((tmp_path / "out/00000_stats.json").read_text())
    assert stats["carried"] >= kept - 1  # the last record may have been cut
    assert not journal.exists()
    unsee(*arguments, "--output-folder", "whole", cwd=tmp_path)
    assert without_times(tmp_path / "out") == without_times(tmp_path / "whole")


def test_a_refused_run_leaves_no_litter(corpus):
    shutil.rmtree(corpus / "out")
    before = bytes_below(corpus)
    for arguments, code in [
        (["nowhere", "--output-folder", "new/deep"], 2),
        (["in", "--output-folder", "new/deep", "--model", "nowhere"], 2),
        (["in", "--output-folder", "in/maps"], 2),
        (["in/*.bmp", "--output-folder", "new"], 2),
        (["in", "--output-folder", "new", "--device", "cuda:7"], 5),
        (["in", "--output-folder", "nothing-knows://bucket/maps"], 2),
        (["in", "--output-folder", "new", "--cnn1", "unsee-small"], 2),
        (["in", "--output-folder", "new", "--promote-iterations", "3"], 2),
        (["in", "--output-folder", "new", "--model", "unsee-student", "--method", "b"], 2),
    ]:
        assert unsee("run", *arguments, cwd=corpus, expect=code).err.count("\n") == 1
        assert bytes_below(corpus) == before
        assert sorted(path.name for path in corpus.iterdir()) == ["in"]


def test_a_run_that_lacks_a_package_leaves_no_litter(corpus):
    shutil.rmtree(corpus / "out")
    (corpus / "hidden").mkdir()
    (corpus / "hidden/cv2.py").write_text("raise ModuleNotFoundError('hidden', name='cv2')")
    env = {"PYTHONPATH": os.pathsep.join((str(corpus / "hidden"), os.environ.get("PYTHONPATH", "")))}
    done = unsee("run", "in", "-o", "new", *QUICK, "--segment", "saliencycut", cwd=corpus, env=env, expect=5)
    assert "SaliencyCut needs cv2" in done.err
    assert sorted(path.name for path in corpus.iterdir()) == ["hidden", "in"]


def test_what_decides_no_byte_does_not_keep_a_run_from_going_on(corpus):
    run(corpus, "--margin", "0.5", expect=3)
    run(corpus, "--margin", "0.5", "--output-kind", "crop", output="crops", expect=3)
    assert "pictures.margin: 0.5 then" in run(corpus, "--output-kind", "crop", output="crops", expect=2)


def test_inputs_are_looked_at_before_the_model(corpus):
    message = unsee("run", "nowhere", "--output-folder", "new", "--model", "missing", cwd=corpus, expect=2).err
    assert "nowhere: no such file" in message


def test_markup_in_names_is_text(corpus):
    run(corpus, output="[/x] [red]", expect=3)
    assert "[/x] [red]" in unsee("verify", "[/x] [red]", cwd=corpus).out
    unsee("status", "[/x] [red]", cwd=corpus)
    assert "[/bold]" in unsee("run", "in", "--output-folder", "y", "--model", "[/bold]", cwd=corpus, expect=2).err


@pytest.mark.parametrize("output_format", ["files", "webdataset"])
def test_names_that_are_long_or_no_utf8(corpus, output_format):
    folder = corpus / "odd"
    folder.mkdir()
    picture = Image.open(corpus / "in/00.jpg")
    names = [b"caf\xe9", b"\xff" * 251, "é".encode() * 125, b"x" * 251, b"\x1b[2Jred", b"a\nb", b"plain"]
    for name in names:
        for suffix, kind in ((b".png", "PNG"), (b".jpg", "JPEG")):
            with Path(os.fsdecode(bytes(folder) + b"/" + name + suffix)).open("wb") as file:
                picture.save(file, kind)
    options = ("--output-format", output_format)
    message = run(corpus, *options, inputs=("odd",), output="odd-maps")
    assert "\x1b[2J" not in message
    rows = rows_of(corpus / "odd-maps")
    assert len(rows) == len({row["output"] for row in rows}) == 14
    unsee("verify", "odd-maps", cwd=corpus)
    run(corpus, *options, inputs=("odd",), output="odd-maps")
