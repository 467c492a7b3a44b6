"""README.md and docs/, followed word for word: every code block is run, every option, code and file named exists."""

import builtins
import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from typer.core import TyperGroup

from unsee.cli.app import COMMANDS as app_commands
from unsee.engine.outputs.layout import journal_path
from unsee.errors import ExitCode
from unsee.tests.commands.running import UNSEE, unsee
from unsee.tests.conftest import ROOT
from unsee.tests.documents import PAGES, Step, blocks_for_elsewhere, column, equip, prose_of, steps, table_after

NOT_RUN = (
    ("README.md", "make ", "sets up an environment of its own; that the targets exist is tested beside"),
    ("README.md", "pip install ", "downloads gigabytes: `make slow` installs every extra"),
    ("docs/gpu.md", "pip install ", "downloads gigabytes: `make slow` installs every extra"),
    ("docs/gpu.md", "python -m unsee.bench.gpu", "takes minutes: tests/commands/test_device.py runs it"),
    ("docs/training.md", "unsee train classifier --training voc:", "trains for hours, from weights of 500 MB"),
    ("docs/training.md", "unsee bench scenes", "trains five classifiers: a quarter of an hour"),
    ("docs/maps.md", "unsee train promoter --training folder:data/DUTS-TR", "trains for hours, on 10,553 photographs"),
    ("docs/maps.md", "unsee train attentional --training folder:data/", "trains for hours, on 9,500 photographs"),
    ("docs/deploying.md", "import ray", "starts a cluster: tests/test_ray_data.py does the same"),
    ("docs/maps.md", "OMP_NUM_THREADS=1 unsee bench maps", "trains two networks, on photographs beside the project"),
)
"""Steps that no test runs: the page, how they begin, and why. Of `unsee` the options are read all the same, by `--help`."""


def is_run(step: Step) -> bool:
    return not any(step.page == page and step.text.startswith(start) for page, start, _ in NOT_RUN)


RUN = {page: [step for step in steps(page) if is_run(step)] for page in PAGES}
PROOFS = (
    ("docs/cli.md", "unsee bench quality "),
    ("docs/segmentation.md", "unsee run photos/ --output-folder maps/ --method a "),
)
"""Steps that take a minute or more and on which no other depends: the page, and how they begin. `make slow` runs them."""


def marks_of(step: Step) -> list[pytest.MarkDecorator]:
    is_proof = any(step.page == page and step.text.startswith(start) for page, start in PROOFS)
    return [pytest.mark.proof] if is_proof else []


IN_ORDER = [
    pytest.param(page, place, id=f"{page}-{place}", marks=marks_of(step))
    for page in PAGES
    for place, step in enumerate(RUN[page])
]
"""Steps by their page's name and their place."""


def commands_below(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command by its words, groups too."""
    if words:
        yield words, group
    if isinstance(group, TyperGroup):
        context = typer.Context(group)
        for name in group.list_commands(context):
            yield from commands_below(group.get_command(context, name), *words, name)


def options_of(command: Any) -> set[str]:
    """Return every spelling of a command's options."""
    named = {spelling for item in command.params for spelling in (*item.opts, *item.secondary_opts)}
    return {"--help", *(spelling for spelling in named if spelling.startswith("--"))}


class Reader:
    """Follows a page in a working folder of its own; what readers are assumed to have lies in it and beside it."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "work"
        self._taken = 0
        equip(self.folder)

    def follow(self, steps: list[Step]) -> None:
        """Take those steps that are not taken yet."""
        for step in steps[self._taken :]:
            self._taken += 1
            take(step, self.folder)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    """The reader of each page."""
    return cache(lambda page: Reader(tmp_path_factory.mktemp("reader")))


def take(step: Step, folder: Path) -> None:
    """Do as the page says; fails where the exit code is not the promised one."""
    command = [sys.executable, "-c", step.text] if step.language == "python" else ["bash", "-c", step.text]
    environment = {**os.environ, "PATH": f"{UNSEE.parent}:{os.environ['PATH']}"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    told = f"{step.page}: {step.text}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    assert result.returncode == step.code and "Traceback" not in result.stderr, told


@pytest.mark.slow
@pytest.mark.parametrize(("page", "place"), IN_ORDER)
def test_code_blocks_run_in_the_order_of_their_page(page: str, place: int, readers: Callable[[str], Reader]) -> None:
    readers(page).follow(RUN[page][: place + 1])


def test_every_entry_of_the_table_matches_a_step() -> None:
    for page, start, reason in NOT_RUN:
        assert any(step.text.startswith(start) for step in steps(page)), (page, start, reason)


@pytest.mark.parametrize("step", [step for page in PAGES for step in steps(page) if not is_run(step)], ids=str)
def test_options_of_steps_that_are_not_run_exist(step: Step, tmp_path: Path) -> None:
    if "unsee " in step.text:
        take(Step(step.page, step.language, f"{step.text} --help"), tmp_path)


COMMANDS = {
    " ".join(words): command
    for name, place in app_commands.items()
    for words, command in commands_below(place.build(name), name)
}
OPTIONS = {words: options_of(command) for words, command in COMMANDS.items()}
FOREIGN = {
    "--no-deps": "pip",
    "--no-index": "pip",
    "--no-build-isolation": "pip",
    "--nproc-per-node": "torchrun",
    "--working-dir": "ray job submit",
}
"""Options of other programs that the pages name."""


FOR_ELSEWHERE = {"--address", "--rm", "--user", "--gpus", "--array", "--gres", "--cpus-per-task", "-v", "-o", "-t"}
"""Options of docker, SLURM and Ray in the blocks for them."""


def test_blocks_for_other_machines_name_options_that_exist() -> None:
    blocks = blocks_for_elsewhere()
    assert len(blocks) == 4
    for page, block in blocks:
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", block)) - FOR_ELSEWHERE
        assert named <= OPTIONS["run"], page


@pytest.mark.parametrize("page", PAGES)
def test_every_option_of_a_page_exists(page: str) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", prose_of(page)))
    assert {name.replace("_", "-") for name in named} - set().union(*OPTIONS.values()) - FOREIGN.keys() == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_the_text_exists_and_has_the_options_that_it_is_shown_with(page: str) -> None:
    for text in re.findall(r"`[^`\n]*?unsee ([a-z][^`]*)`", prose_of(page)):
        words = text.split()
        name = max((name for name in COMMANDS if words[: len(name.split())] == name.split()), key=len, default=None)
        assert name, f"{page}: unsee {text}"
        named = {word.split("=")[0] for word in words if word.startswith("--")}
        assert named <= OPTIONS[name], f"{page}: unsee {text}"


def test_exit_codes_are_those_of_the_page() -> None:
    assert sorted(map(int, column(table_after("docs/cli.md", "## Exit codes"), 0))) == sorted(ExitCode)


SOURCES = "\n".join(path.read_text() for path in (*ROOT.glob("*.py"), *(ROOT / "engine").rglob("*.py")))
CODES = re.findall(r"`(\w+)`", " ".join(column(table_after("docs/cli.md", "counts as without one."), 1)))


def test_every_status_and_error_code_of_the_page_occurs_in_the_source() -> None:
    stages = re.findall(r"`(\w+)`", " ".join(column(table_after("docs/cli.md", "counts as without one."), 0)))
    assert len(stages) == 6 and len(CODES) > 30
    for code in (*stages, *CODES):
        assert f'"{code}"' in SOURCES or hasattr(builtins, code) or hasattr(errno, code), code


def test_every_error_code_of_the_source_is_on_the_page() -> None:
    raised = set(re.findall(r'(?:Reading|Decoding|Proposals)Error\(\s*"([a-z_]+)"', SOURCES))
    raised |= {name.lower() for name in re.findall(r"(?:Reading|Decoding)Error\(\s*([A-Z_]+),", SOURCES)}
    assert len(raised) > 10 and raised - set(CODES) == set()


@pytest.mark.slow
def test_run_directories_hold_the_files_and_columns_of_the_page(photographs: Path, tmp_path: Path) -> None:
    text = " ".join(column(table_after("docs/cli.md", "### The run directory"), 0))
    patterns = set(re.findall(r"`([^`]+)`", text))
    found: set[str] = set()
    for form in ("files", "webdataset", "npy"):
        unsee("run", photographs, "--method", "rc", "--output-folder", tmp_path / form, "--output-format", form)
        found |= {path.name for path in (tmp_path / form).rglob("*") if path.is_file()}
    maps = {path.stem + ".png" for path in photographs.rglob("*.*")}
    found = {"<relative path>.png" if name in maps else name for name in found}
    assert patterns == found | {journal_path(tmp_path, 0).name}
    columns = re.findall(
        r"`(\w+)`", re.search(r"^Columns: (.*?)\.$", prose_of("docs/cli.md"), re.DOTALL | re.MULTILINE)[1]
    )
    assert set(pq.read_schema(tmp_path / "files/00000.parquet").names) == set(columns)
