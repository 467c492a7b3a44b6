"""The README's code blocks, run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from unsee.bench.demo import save_photographs
from unsee.tests.conftest import ROOT
from unsee.train.pretrained import pretrained_names

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(bash|python|console)\n(.*?)```", README, re.DOTALL)

pytestmark = pytest.mark.skipif(not pretrained_names(), reason="no classifier is shipped with this checkout")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with photos/, small so that the blocks take seconds."""
    folder = tmp_path_factory.mktemp("readme")
    for path in save_photographs(folder / "photos").iterdir():
        Image.open(path).resize((90, 70)).save(path)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("language, code", [block for block in BLOCKS if block[0] != "console"])
def test_block_runs(folder, language, code):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", code] if language == "bash" else [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_make_target_exists(target):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    result = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_pictures_and_pages_of_the_readme_exist():
    for link in re.findall(r"\]\(([^)h#][^)]*)\)", README):
        assert (ROOT / link).exists(), link
