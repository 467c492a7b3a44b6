"""What README.md and docs/ point to; tests/commands/test_documents.py runs their code blocks."""

import re
import shutil
import subprocess

import pytest

from unsee.tests.conftest import ROOT
from unsee.tests.documents import ELSEWHERE, PAGES, prose_of, text_of


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", text_of("README.md"), re.MULTILINE))
def test_make_target_exists(target: str) -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    result = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES)
def test_pictures_and_pages_that_are_linked_exist(page: str) -> None:
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)h#][^)#]*)", prose_of(page)):
        assert (folder / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_project_that_are_named_exist(page: str) -> None:
    for name in re.findall(
        r"(?<![\w/.])(?:engine|export|train|bench|kernels|tests|docs)/[\w./]+\.(?:py|md)", prose_of(page)
    ):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_code_stands_in_fences_of_languages_that_are_run(page: str) -> None:
    """Neither an indented block nor a fence of a kind that is not run here hides a command from the tests."""
    fences = re.findall(r"^```(.*)$", text_of(page), re.MULTILINE)
    assert set(fences[::2]) <= {"bash", "console", "python", *ELSEWHERE} and set(fences[1::2]) <= {""}
    assert not re.search(r"\n\n    \S", prose_of(page))
