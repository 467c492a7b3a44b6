"""Lists: a bad entry is a failed row wherever the list comes from, also out of a pipe."""

import json
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.tests.commands.running import FAST, UNSEE, rows_of, unsee

BAD = "bad_list_entry"


@pytest.fixture(scope="session")
def lists(photographs, tmp_path_factory):
    """A folder of lists, each naming an image of its own and bad entries."""
    folder = tmp_path_factory.mktemp("lists")
    good = [str(photographs / f"{number:02d}.{'png' if number % 2 else 'jpg'}") for number in range(6)]
    mark = "\ufeff"
    (folder / "a.txt").write_text(f"{mark}{good[0]}\r\na\0b.jpg\r\n", newline="")
    (folder / "b.csv").write_text(f'{mark}path,id\n{good[1]},1\n,2\n"  ",3\n', newline="")
    (folder / "c.tsv").write_text(f"{mark}id\turl\n1\t{good[2]}\n2\n", newline="")
    (folder / "d.jsonl").write_text(f'{mark}{{"path": "{good[3]}"}}\n[1]\nnull\n"\\ud800"\n{{\n' + "[" * 200_000 + "\n")
    (folder / "e.json").write_text(mark + json.dumps([good[4], None, 7, {"path": None}, [1, 2], "", "http://[::1"]))
    pq.write_table(pa.table({"path": pa.array([good[5], None, ""])}), folder / "f.parquet")
    return folder


BAD_PLACES = [
    "a.txt:2", "b.csv:3", "b.csv:4", "c.tsv:3", *(f"d.jsonl:{line}" for line in range(2, 7)),
    *(f"e.json:{row}" for row in range(2, 8)), "f.parquet:2", "f.parquet:3",
]  # fmt: skip


def test_bad_entries_of_every_list_are_rows(lists, photographs, tiny_bundle, tmp_path):
    files = sorted(lists.iterdir())
    unsee("run", *files, "--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST, expect=3)
    rows = rows_of(tmp_path / "out")
    bad = [row["path"] for row in rows if row["error_code"] == BAD]
    assert bad == [f"{lists}/{place}" for place in BAD_PLACES]
    good = [row["path"] for row in rows if row["status"] == "success"]
    assert good == [f"{photographs}/{number:02d}.{'png' if number % 2 else 'jpg'}" for number in range(6)]
    assert len(rows) == len(bad) + len(good)


NO_LISTS = {
    "junk.json": ("{", "not a readable json list"),
    "null.json": ("null", "no array"),
    "deep.json": ("[" * 200_000, "not a readable json list"),
    "wide.txt": ("\ufffe", "convert it to UTF-8"),
}


@pytest.mark.parametrize("name", NO_LISTS)
def test_what_is_no_list_is_one_line(tmp_path, name):
    text, message = NO_LISTS[name]
    (tmp_path / name).write_bytes(text.encode("utf-16-be" if name == "wide.txt" else "utf-8"))
    assert message in unsee("run", tmp_path / name, "--output-folder", tmp_path / "out", "--dry-run", expect=2).err


def test_list_from_standard_input(photographs, tiny_bundle, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST)
    for source in ("-", "/dev/stdin"):  # the same list goes on where it stopped
        unsee("run", source, *options, stdin="00.jpg\n01.png\n\0", cwd=photographs, expect=3)
    assert [row["path"] for row in rows_of(tmp_path / "out")] == ["00.jpg", "01.png", "stdin:3"]


def test_list_of_another_kind_from_standard_input(photographs, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--input-format", "jsonl", "--dry-run")
    shown = unsee("run", "-", *options, stdin='"00.jpg"\n{"url": "01.png"}\n', cwd=photographs).out
    assert "00.jpg -> 00" in shown
    assert "01.png -> 01" in shown


def test_what_comes_through_a_pipe_and_is_no_list_is_one_line(photographs, tmp_path):
    tar = tmp_path / "a.tar"
    subprocess.run(["tar", "cf", tar, "-C", photographs, "00.jpg", "01.png"], check=True)
    for path, kind in ((photographs / "00.jpg", "JPEG"), (photographs / "01.png", "PNG"), (tar, "tar")):
        line = f"'{UNSEE}' run - --output-folder out < '{path}'"
        finished = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert finished.returncode == 2
        assert finished.stderr.count("\n") == 1 and f"{kind}: save it as a file, and name that" in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_list_from_a_process_substitution(photographs, tiny_bundle, tmp_path):
    options = f"--output-folder '{tmp_path}/out' --model '{tiny_bundle}' {' '.join(FAST)}"
    line = f"'{UNSEE}' run <(ls *.jpg) {options} && '{UNSEE}' run <(ls *.jpg) {options}"
    finished = subprocess.run(["bash", "-c", line], cwd=photographs, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr
    assert [row["path"] for row in rows_of(tmp_path / "out")] == sorted(path.name for path in photographs.glob("*.jpg"))


def test_pattern_of_lists_needs_no_format(lists, tiny_bundle, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--model", tiny_bundle, "--output-format", "dummy", *FAST)
    unsee("run", f"{lists}/[ab].*", *options, expect=3)
    assert len(rows_of(tmp_path / "out")) == 5


def test_an_input_that_is_listed_twice_is_named(photographs, tmp_path):
    image = photographs / "01.png"
    (tmp_path / "list.txt").write_text(f"{image}\n{photographs / '00.jpg'}\n{image}\n")
    done = unsee("run", "list.txt", "-o", "maps", "--method", "rbd", cwd=tmp_path, expect=2)
    assert f"{image} is among the inputs more than once" in done.err
    unsee("run", "list.txt", "-o", "maps", "--method", "rbd", "--output-names", "key", cwd=tmp_path)
    assert len(rows_of(tmp_path / "maps")) == 3
