"""README.md and docs/ as their readers use them: the code blocks, and the folders that a reader is assumed to have."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path

import numpy as np
from PIL import Image

from unsee.bench.demo import save_photographs
from unsee.tests.conftest import ROOT
from unsee.tests.corpus import write_tiny_model
from unsee.tests.export_models import checkpoint
from unsee.tests.map_models import map_checkpoint
from unsee.tests.network_files import Form, write_network

PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ELSEWHERE = ("sh", "yaml")
"""Languages of blocks for container runtimes and schedulers, which are not here."""
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.png")
"""Those that the pages name."""
SIZE = (90, 70)
"""Width and height of the readers' photographs, so that blocks take seconds."""


@dataclass(frozen=True)
class Step:
    """What a reader runs at once: a line of a console block, or a whole block of Python.

    code: the exit code that the page promises, in a comment `# exit code N`, otherwise 0.
    """

    page: str
    language: str
    text: str
    code: int = 0


def text_of(page: str) -> str:
    """Return a page."""
    return (ROOT / page).read_text()


def prose_of(page: str) -> str:
    """Return a page without its code blocks."""
    return BLOCK.sub("", text_of(page))


def steps(page: str) -> Iterator[Step]:
    """Yield the steps of a page's code blocks, in its order, but those that are for other machines."""
    for language, block in BLOCK.findall(text_of(page)):
        if language in ELSEWHERE:
            continue
        if language == "python":
            yield Step(page, language, block)
        else:
            yield from (_line(page, language, line) for line in block.replace("\\\n", " ").splitlines() if line.strip())


def blocks_for_elsewhere() -> list[tuple[str, str]]:
    """Return the blocks for container runtimes and schedulers, each with its page."""
    return [
        (page, block) for page in PAGES for language, block in BLOCK.findall(text_of(page)) if language in ELSEWHERE
    ]


def table_after(page: str, text: str) -> list[list[str]]:
    """Return the cells of the first table behind a text, without its head."""
    lines = text_of(page).split(text, 1)[1].splitlines()
    lines = list(dropwhile(lambda line: not line.startswith("|"), lines))
    rows = list(takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def column(rows: list[list[str]], place: int) -> list[str]:
    """Return a column of a table."""
    return [row[place] for row in rows]


def _line(page: str, language: str, line: str) -> Step:
    command, _, comment = re.sub(r"\s+", " ", line).partition(" # ")
    code = re.search(r"exit code (\d+)", comment)
    return Step(page, language, command.strip(), int(code[1]) if code else 0)


def equip(folder: Path) -> None:
    """Put into a reader's folder, and beside it, what the pages take for granted."""
    for path in save_photographs(folder / "photos").iterdir():
        if path.name in PHOTOGRAPHS:
            Image.open(path).resize(SIZE).save(path)
        else:
            path.unlink()
    _draw_masks(folder)
    write_tiny_model(folder.parent / "models/squeezenet1_1")
    for name, classes in (("cnn1", 5), ("cnn2", 5), ("cnn3", 10)):
        checkpoint(folder / "nets" / name, "squeezenet1_1", classes, size=48)
    map_checkpoint(folder / "runs/promoter", "promoter")
    map_checkpoint(folder / "runs/attentional", "attentional")
    write_network(folder / "u2net.onnx", Form(64, outputs=7))
    write_network(folder / "mine.onnx", Form(64, logits=True))


def _draw_masks(folder: Path) -> None:
    (folder / "masks").mkdir()
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[20:50, 25:70] = 255
    for path in (folder / "photos").iterdir():
        Image.fromarray(mask).save(folder / "masks" / path.name)
