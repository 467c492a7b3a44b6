"""Replacing a bundle by a new one: killed at any step, the old or the new one is there, whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unsee.errors import ExitCode, OutputError, UnseeError
from unsee.export.bundles import drafts
from unsee.export.bundles.drafts import drafted

REPLACE = """
import os, signal, sys
from pathlib import Path
from unsee.export.bundles import drafts

target, step, can_exchange = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "exchange"
left = [step]

def killed(function):
    def counted(*arguments, **options):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return function(*arguments, **options)
    return counted

drafts.exchange = killed(drafts.exchange if can_exchange else lambda first, second: False)
drafts.shutil.rmtree = killed(drafts.shutil.rmtree)
os.rename, os.mkdir = killed(os.rename), killed(os.mkdir)
with drafts.drafted(target) as draft:
    (draft / "bundle.json").write_text('"new"')
    (draft / "step.onnx").write_text("new")
print("done")
"""


def written(folder: Path, word: str) -> Path:
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps(word))
    (folder / "step.onnx").write_text(word)
    return folder


def content(folder: Path) -> set[str]:
    return {path.read_text().strip('"') for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("way", ["exchange", "aside"])
def test_a_kill_at_any_step_loses_nothing(way, tmp_path):
    finished = 0
    for step in range(12):
        folder = tmp_path / f"{way}-{step}"
        folder.mkdir()
        target = written(folder / "bundle", "old")
        command = [sys.executable, "-c", REPLACE, target, str(step), way]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode in (0, -9), result.stderr
        if way == "exchange":
            assert content(target) in ({"old"}, {"new"})
        else:  # between two renames the old one is beside, and a later export finds it
            assert content(target) or content(folder / ".bundle.old") == {"old"}
        finished += result.returncode == 0
        with pytest.raises(KeyError), drafted(target):
            raise KeyError  # an export that fails
        assert content(target) in ({"old"}, {"new"})
        assert [path.name for path in folder.iterdir()] == ["bundle"]
    assert 0 < finished < 12


def test_the_file_system_can_exchange(tmp_path):
    first, second = written(tmp_path / "a", "a"), written(tmp_path / "b", "b")
    assert drafts.exchange(first, second)
    assert (content(first), content(second)) == ({"b"}, {"a"})
    with pytest.raises(OSError, match="No such file"):
        drafts.exchange(first, tmp_path / "nowhere")


def test_nothing_is_lost_of_a_directory_that_holds_more_than_a_bundle(tmp_path):
    target = written(tmp_path / "bundle", "old")
    (target / "step.gpu-fp32-batch8.plan").touch()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UnseeError, match=r"holds notes.txt"), drafted(target):
        pass
    assert (target / "notes.txt").read_text() == "mine" and "old" in content(target)
    (target / "notes.txt").unlink()
    with drafted(target) as draft:
        (draft / "bundle.json").write_text('"new"')
    assert content(target) == {"new"}


def test_a_failed_export_leaves_no_folders(tmp_path):
    with pytest.raises(KeyError), drafted(tmp_path / "some/new/bundle"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "file/bundle", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot be written") as raised, drafted(target):
            pass
        assert raised.value.exit_code == ExitCode.CRASH


def test_a_link_to_a_bundle_stays_a_link(tmp_path):
    target = written(tmp_path / "bundle", "old")
    (tmp_path / "link").symlink_to(target)
    with drafted(tmp_path / "link") as draft:
        (draft / "bundle.json").write_text('"new"')
    assert (tmp_path / "link").is_symlink() and content(target) == {"new"}
