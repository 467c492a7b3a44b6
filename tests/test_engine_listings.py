"""Lists: one bad entry is one failed row, whatever the list is written in; nothing is lost, nothing called None."""

import gzip
import json
import os
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.engine.inputs.input import ReadingError, read
from unsee.engine.inputs.sources import Sources
from unsee.errors import UnseeError

BAD = "bad_list_entry"


def entries(path, data=None, **options):
    """Return what each entry became: the name of its file, or the line of a bad one."""
    if data is not None:
        path.write_bytes(data)
    members = list(Sources((str(path),), **options).stream())
    assert len({member.place for member in members}) == len({member.output for member in members}) == len(members)
    assert all(member.problem in (None, BAD) for member in members)
    return [Path(member.path).name for member in members]


LINES = {
    "a.txt": b"1.jpg\na\0b.jpg\n" + b"x" * (3 << 20) + b"\n   \n2.jpg",
    "a.jsonl": (
        b'{"path": "1.jpg"}\n{\nnull\n[1, 2]\n7\n"\\ud800.jpg"\n{"path": null}\n{"path": ["x"]}\n{"other": "x.jpg"}\n""\n'
        b'"http://[::1/x.jpg"\n"../.."\n' + b"[" * 200_000 + b"\n\n" + b"9" * 5000 + b'\n"2.jpg"\n'
    ),
    "a.json": b'["1.jpg", null, [1, 2], 7, "", " ", "\\u0000", "\\udfff", {"path": {}}, "2.jpg"]',
    "a.csv": b'id,path\n1,1.jpg\n2,\n3\n4,"a\0b"\n5,' + b"x" * 200_000 + b"\n\n6,  \n7,2.jpg,more\n",
    "a.tsv": b"path\tid\n1.jpg\t1\n\t2\n..\t3\n2.jpg\t4\n",
}
BAD_LINES = {
    "a.txt": [2, 3],
    "a.jsonl": [*range(2, 14), 15],
    "a.json": [2, 3, 4, 5, 6, 7, 8, 9],
    "a.csv": [3, 4, 5, 6, 8],
    "a.tsv": [3, 4],
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", LINES)
def test_bad_entries_are_rows_of_their_own(tmp_path, name, mark):
    expected = ["1.jpg", *(f"{name}:{line}" for line in BAD_LINES[name]), "2.jpg"]
    assert entries(tmp_path / name, mark + LINES[name]) == expected
    zipped = [entry.replace(name, f"{name}.gz") for entry in expected]
    assert entries(tmp_path / f"{name}.gz", gzip.compress(mark + LINES[name])) == zipped


TYPES = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_parquet_lists_of_any_text(tmp_path, kind):
    column = pa.array(["1.jpg", None, "", "2.jpg", "a\0b"], kind)
    pq.write_table(pa.table({"id": range(5), "url": column}), tmp_path / "a.parquet", row_group_size=2)
    assert entries(tmp_path / "a.parquet") == ["1.jpg", "a.parquet:2", "a.parquet:3", "2.jpg", "a.parquet:5"]


def test_quote_that_nothing_closes_spoils_its_own_line_only(tmp_path):
    data = b'path,id\n1.jpg,1\n"2.jpg,2\n3.jpg,3\n4"x.jpg,4\n"5\n.jpg",5\n6".jpg",6\n' + b"7.jpg,7\n"
    names = entries(tmp_path / "a.csv", data)
    assert names == ["1.jpg", "a.csv:3", "3.jpg", '4"x.jpg', "5\n.jpg", '6".jpg"', "7.jpg"]


def test_windows_line_ends(tmp_path):
    for name in ("a.txt", "a.csv", "a.jsonl"):
        data = LINES_OF_TWO[name].replace(b"\n", b"\r\n")
        assert entries(tmp_path / name, data) == ["1.jpg", "2.jpg"]


LINES_OF_TWO = {"a.txt": b"1.jpg\n2.jpg\n", "a.csv": b"path\n1.jpg\n2.jpg\n", "a.jsonl": b'"1.jpg"\n"2.jpg"\n'}

NO_LISTS = {
    "object.json": (b'{"images": []}', "no array of paths"),
    "null.json": (b"null", "no array of paths"),
    "deep.json": (b"[" * 200_000, "recursion"),
    "wide.txt": ("1.jpg\n".encode("utf-16"), "UTF-16"),
    "wide.csv": ("path\n1.jpg\n".encode("utf-16-be"), "no column"),
    "other.csv": (b"a,b\n1,2\n", "no column path .*--path-column"),
    "other.jsonl": (b'{"a": 1}\n{"b": 2}\n', "no column path .*--path-column"),
    "cut.txt.gz": (gzip.compress(b"1.jpg\n" * 9)[:-9], "not a readable txt list"),
}


@pytest.mark.parametrize("name", NO_LISTS)
def test_what_is_no_list_is_a_user_error(tmp_path, name):
    data, message = NO_LISTS[name]
    with pytest.raises(UnseeError, match=rf"{name}.*{message}"):
        entries(tmp_path / name, data)


def test_numbers_in_a_column_of_paths_are_a_user_error(tmp_path):
    pq.write_table(pa.table({"path": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(UnseeError, match="column path is int64, not text"):
        entries(tmp_path / "a.parquet")


def test_unreadable_lists_in_a_folder_are_rows(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "good.json").write_text('["1.jpg"]')
    members = list(Sources((str(tmp_path),), "json").stream())
    assert [member.problem for member in members] == ["unreadable_list", None]
    with pytest.raises(ReadingError, match="none of its images is in the run"):
        read(members[0])


def test_list_without_a_first_good_row_is_still_a_list(tmp_path):
    data = b'{"other": 1}\nnull\n{"path": "1.jpg"}\n'
    assert sorted(entries(tmp_path / "a.jsonl", data)) == ["1.jpg", "a.jsonl:1", "a.jsonl:2"]


def test_named_pipe_is_read_as_the_list_it_is_said_to_be(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(json.dumps(["1.jpg", None])))
    writer.start()
    sources = Sources((str(pipe),), "json")
    first, second = list(sources.stream()), list(sources.stream())
    writer.join()
    assert first == second
    assert [member.problem for member in first] == [None, BAD]
    assert first[0].path == str(tmp_path / "1.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.tar", "a.txt"])
def test_pipe_that_nobody_writes_to_never_blocks(tmp_path, name):
    os.mkfifo(tmp_path / name)
    if name == "a.jpg":
        (member,) = Sources((str(tmp_path / name),)).stream()
        with pytest.raises(ReadingError) as error:
            read(member)
        assert error.value.code == "not_a_file"
    else:
        with pytest.raises(UnseeError, match="neither a regular file"):
            list(Sources((str(tmp_path / name),)).stream())


def test_pipe_cannot_bring_an_archive():
    with pytest.raises(UnseeError, match="a pipe can bring a list only"):
        list(Sources(("-",), "webdataset").stream())


def test_nothing_in_a_list_is_left_out(tmp_path):
    counts = Counter()
    (tmp_path / "a.txt").write_text("notes.md\n.hidden.jpg\nfolder\n")
    members = list(Sources((str(tmp_path / "a.txt"),)).stream(counts))
    assert [member.output + member.suffix for member in members] == ["notes.md", ".hidden.jpg", "folder"]
    assert not counts
