"""Sources: which inputs a user's words stand for, in which order, and where their maps go."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.engine.inputs.input import ReadingError, read
from unsee.engine.inputs.sources import Sources
from unsee.errors import UnseeError


@pytest.fixture
def tree(tmp_path):
    for name in ("b.jpg", "a.PNG", "sub/c.jpeg", "sub/deep/d.webp", "twin.jpg", "twin.png", ".hidden.jpg", "notes.md"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def outputs(*sources):
    return [member.output for member in Sources(tuple(map(str, sources))).stream()]


def names(*sources, **options):
    return [member.output + member.suffix for member in Sources(tuple(map(str, sources)), **options).stream()]


def test_folder_is_recursive_sorted_and_mirrored(tree):
    assert names(tree) == ["a.PNG", "b.jpg", "twin.jpg", "twin.png", "sub/c.jpeg", "sub/deep/d.webp"]
    assert outputs(tree) == ["a", "b", "twin", "twin", "sub/c", "sub/deep/d"]


def test_paths_are_those_of_the_files(tree):
    assert all(Path(member.path).is_file() for member in Sources((str(tree),)).stream())


def test_single_files_keep_their_name(tree):
    assert outputs(tree / "sub/c.jpeg", tree / "b.jpg") == ["c", "b"]


def test_format_says_what_a_folder_is_searched_for(tree):
    for name in ("one.csv", "two.csv"):
        (tree / name).write_text("path\nb.jpg\n")
    assert [member.path for member in Sources((str(tree),), "csv").stream()] == [f"{tree}/b.jpg"] * 2


def test_pattern_is_relative_to_its_fixed_part(tree):
    assert outputs(f"{tree}/**/*.jp*g") == ["b", "twin", "sub/c"]
    assert outputs(f"{tree}/sub/*.jpeg") == ["c"]


def test_text_list(tree):
    listing = tree / "list.txt"
    listing.write_text(f"# photographs\nb.jpg\n\n  sub/c.jpeg\n../in/a.PNG\n{tree}/sub/deep/d.webp\n")
    members = list(Sources((str(listing),)).stream())
    assert [member.output for member in members] == ["b", "sub/c", "in/a", f"{tree}/sub/deep/d"[1:]]
    assert all(Path(member.path).is_file() for member in members)


def test_what_does_not_exist_is_named(tree):
    with pytest.raises(UnseeError, match="nowhere: no such file"):
        outputs(tree / "nowhere")
    with pytest.raises(UnseeError, match="nothing that unsee reads matches"):
        outputs(f"{tree}/*.gif")


def test_name_that_is_not_utf_8_passes_through(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).touch()
    assert outputs(tmp_path) == [os.fsdecode(b"caf\xe9")]


LISTS = {
    "a.txt": "x/1.jpg\nx/2.jpg\n",
    "a.csv": "id,path\n7,x/1.jpg\n8,x/2.jpg\n",
    "a.tsv": "path\tid\nx/1.jpg\t7\nx/2.jpg\t8\n",
    "a.json": '[{"url": "x/1.jpg"}, {"url": "x/2.jpg"}]',
    "a.jsonl": '{"image": "x/1.jpg"}\n\n{"image": "x/2.jpg"}\n',
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_lists_of_every_kind(tmp_path, name, zipped):
    path = tmp_path / (f"{name}.gz" if zipped else name)
    data = LISTS[name].encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    members = list(Sources((str(path),)).stream())
    assert [(member.path, member.output) for member in members] == [
        (f"{tmp_path}/x/1.jpg", "x/1"),
        (f"{tmp_path}/x/2.jpg", "x/2"),
    ]


def test_parquet_list_and_named_column(tmp_path):
    table = pa.table({"caption": ["a", "b"], "where": ["http://host/d/1.jpg?w=3", "/abs/2.png"]})
    pq.write_table(table, tmp_path / "list.parquet")
    assert [member.output for member in Sources((str(tmp_path / "list.parquet"),), path_column="where").stream()] == [
        "host/d/1", "abs/2",
    ]  # fmt: skip
    with pytest.raises(UnseeError, match="no column path or url .*; name it with --path-column"):
        list(Sources((str(tmp_path / "list.parquet"),)).stream())


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv.gz", b"junk"), ("a.json", b"{"), ("a.json", b'[{"where": "b.jpg"}]'), ("a.parquet", b"PAR1junk")],
)
def test_damaged_list_is_a_user_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnseeError, match=name):
        list(Sources((str(tmp_path / name),)).stream())


def test_remote_files_folders_and_patterns():
    system = fsspec.filesystem("memory")
    for name in ("a.jpg", "deep/b.png", "deep/c.md", "deep/b.jpg"):
        system.pipe(f"/corpus/{name}", b"bytes of " + name.encode())
    assert names("memory://corpus") == ["a.jpg", "deep/b.jpg", "deep/b.png"]
    assert outputs("memory://corpus/*/*.png") == ["deep/b"]
    (one,) = Sources(("memory://corpus/deep/b.png",)).stream()
    assert (one.output, read(one)) == ("b", b"bytes of deep/b.png")
    assert [read(member) for member in Sources(("memory://corpus",)).stream()][1] == b"bytes of deep/b.jpg"


def test_unknown_protocol_is_a_user_error():
    with pytest.raises(UnseeError, match="cannot be listed"):
        outputs("gopher://host/a.jpg")


def tar_of(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_webdataset_members_are_read_in_place(tmp_path):
    path = tar_of(
        tmp_path / "00000.tar", [("01.jpg", b"one"), ("01.json", b"{}"), ("d/02.png", b"three"), ("/../03.webp", b"")]
    )
    members = list(Sources((str(tmp_path),)).stream())
    assert [(member.path, member.output) for member in members] == [
        (str(path), "00000/01"), (str(path), "00000/d/02"), (str(path), "00000/03"),
    ]  # fmt: skip
    assert [read(member) for member in members] == [b"one", b"three", b""]


def test_duplicates_and_damage_in_a_tar_become_rows(tmp_path):
    path = tar_of(tmp_path / "a.tar", [("1.jpg", b"x" * 2000), ("1.jpg", b"y"), ("2.jpg", b"z" * 3000)])
    path.write_bytes(path.read_bytes()[:4700])
    members = list(Sources((str(path),)).stream())
    assert [member.problem for member in members][:2] == [None, "duplicate_name"]
    assert read(members[0]) == b"x" * 2000
    for member in members[1:]:
        with pytest.raises(ReadingError) as error:
            read(member)
        assert error.value.code in ("duplicate_name", "damaged_archive")


def test_compressed_tar_says_what_to_do(tmp_path):
    (tmp_path / "a.tar").write_bytes(gzip.compress(b"x" * 2000))
    with pytest.raises(UnseeError, match="unpack the compression first"):
        outputs(tmp_path / "a.tar")


@pytest.mark.parametrize("nested", [False, True])
def test_parquet_with_image_bytes(tmp_path, nested):
    cells = [b"one", b"two", None, b"four", b"five"]
    column = [{"bytes": cell, "path": cell and "p"} for cell in cells] if nested else cells
    pq.write_table(pa.table({"label": range(5), "image": column}), tmp_path / "a.parquet", row_group_size=2)
    members = list(Sources((str(tmp_path / "a.parquet"),)).stream())
    assert [member.output for member in members] == [f"a/{row:08d}" for row in range(5)]
    assert [read(members[place]) for place in (4, 0, 1, 3)] == [b"five", b"one", b"two", b"four"]
    with pytest.raises(ReadingError, match="cell is empty"):
        read(members[2])


def test_whatever_a_store_says_when_it_is_listed_is_one_error(monkeypatch):
    class NoCredentialsError(Exception):
        """As boto's, which is of no kind of ours."""

    class Store:
        def isdir(self, path):
            raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr("unsee.engine.inputs.sources.file_system", lambda *_: (Store(), "bucket/x"))
    with pytest.raises(UnseeError, match=r"s3://bucket/x: cannot be listed \(NoCredentialsError: Unable to locate"):
        list(Sources(("s3://bucket/x",)).stream())
