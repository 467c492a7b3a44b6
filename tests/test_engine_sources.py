"""Sources: which inputs a user's words stand for, in which order, and where their maps go."""

import os
from pathlib import Path

import pytest

from unsee.engine.sources import inputs_of
from unsee.errors import UnseeError


@pytest.fixture
def tree(tmp_path):
    for name in ("b.jpg", "a.PNG", "sub/c.jpeg", "sub/deep/d.webp", "twin.jpg", "twin.png", ".hidden.jpg", "notes.md"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def outputs(*sources):
    return [member.output for member in inputs_of([str(source) for source in sources])]


def test_folder_is_recursive_sorted_and_mirrored(tree):
    assert outputs(tree) == ["a", "b", "twin.jpg", "twin.png", "sub/c", "sub/deep/d"]


def test_paths_are_those_of_the_files(tree):
    assert all(Path(member.path).is_file() for member in inputs_of([str(tree)]))


def test_single_files_keep_their_name(tree):
    assert outputs(tree / "sub/c.jpeg", tree / "b.jpg") == ["c", "b"]


def test_pattern_is_relative_to_its_fixed_part(tree):
    assert outputs(f"{tree}/**/*.jp*g") == ["b", "sub/c", "twin"]
    assert outputs(f"{tree}/sub/*.jpeg") == ["c"]


def test_text_list(tree):
    listing = tree / "list.txt"
    listing.write_text(f"# photographs\nb.jpg\n\n  sub/c.jpeg\n../in/a.PNG\n{tree}/sub/deep/d.webp\n")
    members = list(inputs_of([str(listing)]))
    assert [member.output for member in members] == ["b", "sub/c", "in/a", f"{tree}/sub/deep/d"[1:]]
    assert all(Path(member.path).is_file() for member in members)


def test_what_does_not_exist_is_named(tree):
    with pytest.raises(UnseeError, match="nowhere: no such file"):
        outputs(tree / "nowhere")
    with pytest.raises(UnseeError, match="no image matches"):
        outputs(f"{tree}/*.gif")


def test_name_that_is_not_utf_8_passes_through(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).touch()
    assert outputs(tmp_path) == [os.fsdecode(b"caf\xe9")]
