"""Folders, patterns and braces: what is found, in which order, and what is left out and counted."""

import os
import shutil
from collections import Counter
from pathlib import Path

import fsspec
import pytest

from unsee.engine.inputs.braces import expanded
from unsee.engine.inputs.input import Input, ReadingError, read
from unsee.engine.inputs.sources import Sources
from unsee.engine.inputs.trees import MOST_REASONS, PathPattern
from unsee.errors import UnseeError


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    return folder


def found(*sources, **options):
    counts = Counter()
    members = list(Sources(tuple(map(str, sources)), **options).stream(counts))
    return [member.output + member.suffix for member in members], dict(counts)


TREE = (
    "a.jpg", "._a.jpg", ".git/x.jpg", ".ipynb_checkpoints/a.jpg", "b.HEIC", "b.heic", "c", "d.jxl", "list.txt",
    "sub/e.png", "sub/.hidden/f.png", "sub/deep/g.webp", "sub/deep/k.tar.gz.part",
)  # fmt: skip


def test_what_a_folder_leaves_out_is_counted(tmp_path):
    names, counts = found(fill(tmp_path, *TREE))
    assert names == ["a.jpg", "sub/e.png", "sub/deep/g.webp"]
    assert counts == {
        "hidden files": 1, "hidden folders": 3, "files with suffix .heic": 2, "files without suffix": 1,
        "files with suffix .jxl": 1, "files with suffix .txt": 1, "files with suffix .part": 1,
    }  # fmt: skip


def test_reasons_are_bounded_and_printable(tmp_path):
    fill(tmp_path, "a.jpg", "b.\udcff", "c." + "x" * 100, *(f"{number}.x{number}" for number in range(100)))
    _, counts = found(tmp_path)
    assert len(counts) == MOST_REASONS + 1
    assert sum(counts.values()) == 102
    "".join(counts).encode()


def test_remote_folders_follow_the_same_rules():
    system = fsspec.filesystem("memory")
    for name in TREE:
        system.pipe(f"/tree/{name}", b"x")
    assert found("memory://tree")[0] == ["a.jpg", "sub/e.png", "sub/deep/g.webp"]
    assert found("memory://tree")[1]["hidden folders"] == 3
    assert found("memory://tree/**/*.png") == (["sub/e.png"], {"hidden folders": 3})
    assert found("memory://tree/{a.jpg,sub/e.png}")[0] == ["a.jpg", "sub/e.png"]
    assert found("memory://tree/{a,sub/*}.*")[0] == ["a.jpg", "sub/e.png"]


def test_links_to_folders_are_followed_and_loops_end(tmp_path):
    fill(tmp_path, "in/a.jpg", "in/sub/b.jpg", "elsewhere/c.jpg")
    (tmp_path / "in/other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/sub/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/sub/self").symlink_to("self")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in")
    (tmp_path / "in/gone.jpg").symlink_to("nowhere.jpg")
    names, counts = found(tmp_path / "in")
    assert names == ["a.jpg", "gone.jpg", "other/c.jpg", "sub/b.jpg"]
    assert counts == {"loops of links": 2, "files without suffix": 1}
    assert found(f"{tmp_path}/in/**/*.jpg") == (names, {"loops of links": 2})


def test_folder_that_cannot_be_listed_is_a_row(tmp_path):
    fill(tmp_path, "in/a.jpg")
    deep = tmp_path / "in"
    here = Path.cwd()
    os.chdir(deep)
    try:
        for _ in range(20):  # a path that is longer than any call takes
            Path("x" * 250).mkdir()
            os.chdir("x" * 250)
    finally:
        os.chdir(here)
    members = list(Sources((str(deep),)).stream())
    assert [member.problem for member in members] == [None, "unreadable_folder"]
    assert members[1].path.startswith(str(deep / ("x" * 250)))
    with pytest.raises(ReadingError, match="none of its images is in the run"):
        read(members[1])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        (".*.jpg", ["._a.jpg"]),
        (".git/*", ["x.jpg"]),
        ("**", ["a.jpg", "sub/e.png", "sub/deep/g.webp"]),
        ("**/*.webp", ["sub/deep/g.webp"]),
        ("sub/**/*", ["e.png", "deep/g.webp"]),
        ("*/**/**/*.[pw]*", ["sub/e.png", "sub/deep/g.webp"]),
        ("{sub,.git}/*.*", [".git/x.jpg", "sub/e.png"]),
        ("{a,sub/e}.*", ["a.jpg", "sub/e.png"]),
        ("{sub/e.png,a.jpg}", ["sub/e.png", "a.jpg"]),
        ("su[b]", None),
        ("nowhere/*.jpg", None),
        ("{a,b}.jpg", None),
    ],
)
def test_patterns(tmp_path, monkeypatch, pattern, expected):
    monkeypatch.chdir(fill(tmp_path, *TREE))
    for prefix in ("", f"{tmp_path}/"):
        if expected is None:
            with pytest.raises(UnseeError, match="nothing that unsee reads matches|no such file"):
                found(prefix + pattern)
        else:
            assert sorted(found(prefix + pattern)[0]) == sorted(expected)


def test_pattern_that_names_lists_takes_them(tmp_path):
    (tmp_path / "1.txt").write_text("a.jpg\n")
    (tmp_path / "2.txt").write_text("b.jpg\n")
    fill(tmp_path, "c.jpg")
    assert found(f"{tmp_path}/*.txt")[0] == ["a.jpg", "b.jpg"]
    assert found(f"{tmp_path}/*")[0] == ["c.jpg"]
    assert found(f"{tmp_path}/[12]*")[0] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{00008..00011}.tar", "00008.tar 00009.tar 00010.tar 00011.tar"),
        ("{3..1}", "3 2 1"),
        ("{0..10..5}", "0 5 10"),
        ("{a..c}{1,2}", "a1 a2 b1 b2 c1 c2"),
        ("x{a,b{1..2},}y", "xay xb1y xb2y xy"),
        ("{a}.jpg", "{a}.jpg"),
        ("{a{1,2}}", "{a1} {a2}"),
        ("{a{1,2}", "{a1 {a2"),
        ("a}{b", "a}{b"),
        ("{" + "9" * 5000 + "..1}", "{" + "9" * 5000 + "..1}"),
    ],
)
def test_braces(pattern, expected):
    assert " ".join(expanded(pattern)) == expected


def test_huge_range_names_the_first_that_is_not_there(tmp_path):
    fill(tmp_path, "0.jpg")
    with pytest.raises(UnseeError, match=r"/1\.jpg: no such file"):
        found(f"{tmp_path}/{{0..99999999999}}.jpg")


def test_name_with_braces_is_a_name(tmp_path):
    assert found(fill(tmp_path, "{a,b}.jpg") / "{a,b}.jpg")[0] == ["{a,b}.jpg"]


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.7z"])
def test_other_archives_say_what_to_do(tmp_path, name):
    with pytest.raises(UnseeError, match="archives are not read: unpack it"):
        found(fill(tmp_path, name) / name)


def test_compressed_tar_in_a_folder_is_one_row(tmp_path):
    fill(tmp_path, "a.jpg")
    (tmp_path / "b.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))
    assert [member.problem for member in Sources((str(tmp_path),)).stream()] == [None, "unreadable_archive"]


def test_names_of_255_bytes_pass(tmp_path):
    name = "ü" * 125 + "a.jpg"
    fill(tmp_path, name)
    (member,) = Sources((str(tmp_path),)).stream()
    assert read(member) == name.encode()


@pytest.mark.parametrize("prefix", ["file://", "local://"])
def test_url_of_a_local_pipe_does_not_block(tmp_path, prefix):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ReadingError) as error:
        read(Input(f"{prefix}{tmp_path}/a.jpg", "a"))
    assert error.value.code == "not_a_file"


def test_folder_that_vanishes_during_the_walk_is_a_row(tmp_path):
    fill(tmp_path, "a.jpg", "one/b.jpg", "two/c.jpg")
    members = Sources((str(tmp_path),)).stream()
    first = next(members)
    shutil.rmtree(tmp_path / "one")
    assert [first.problem, *((member.path, member.problem) for member in members)] == [
        None, (f"{tmp_path}/one", "unreadable_folder"), (f"{tmp_path}/two/c.jpg", None),
    ]  # fmt: skip


@pytest.mark.parametrize("error", [PermissionError("denied"), RuntimeError("what libraries raise")])
def test_remote_folder_that_cannot_be_listed_is_a_row(monkeypatch, error):
    system = fsspec.filesystem("memory")
    for name in ("a.jpg", "locked/b.jpg", "open/c.jpg"):
        system.pipe(f"/part/{name}", b"x")
    listed = type(system).ls

    def ls(self, path, *arguments, **options):
        if path.endswith("locked"):
            raise error
        return listed(self, path, *arguments, **options)

    monkeypatch.setattr(type(system), "ls", ls)
    members = list(Sources(("memory://part",)).stream())
    assert [member.problem for member in members] == [None, "unreadable_folder", None]
    assert members[1].path == "memory:///part/locked"


PATTERNS = ("*", "**/*", "*.jpg", "**/*.jpg", "a*/**", "**", "a/**/b*/*.p?g", "[ab]*", "**/**/c", "x/*")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_last_name_is_what_ends_a_pattern(pattern):
    states_of = PathPattern(tuple(pattern.split("/")))
    names = ("a", "b", "c", "ab.jpg", "b.png", "x", "c.jpg.gz", "a\nb", "(")
    for above in ((), ("a",), ("x",), ("a", "b"), ("a", "c", "bb")):
        states = states_of.start()
        for name in above:
            states = states_of.after(states, name, True)
        last = states_of.last_name(states)
        assert [bool(last.match(name)) for name in names] == [
            states_of.end in states_of.after(states, name, True) for name in names
        ]
