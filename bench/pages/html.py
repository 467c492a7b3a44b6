"""The page of a report: one HTML file that makes no network requests, its rows as JSON inside."""

import json
import math
from itertools import takewhile
from pathlib import Path
from typing import Any

from ...extras import require
from ...files import write_bytes
from ...names import printable
from ..scoring.claims import claim, is_page, unwritable

OPTION = "--output"


def claim_page(output: Path) -> None:
    """Make sure, before any work, that a page can be made and written; errors as of `require` and `claim`."""
    require("jinja2", "report", "unsee report")
    claim(output, OPTION, is_page)


def write_page(output: Path, rows: list[dict[str, Any]], facts: list[tuple[str, Any]], **values: Any) -> None:
    """Write a page of rows; values: what else the template takes."""
    below = common_folder([row["path"] for row in rows])
    rows = [{**row, "path": row["path"][len(below) :]} for row in rows]
    facts = [*facts, ("paths below", below)] if below else facts
    jinja2 = require("jinja2", "report", "unsee report")
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True).get_template("report.html")
    markup = require("markupsafe", "report", "unsee report")
    page = template.render(data=markup.Markup(_script_data(rows)), facts=facts, below=printable(below), **values)
    try:
        write_bytes(output, printable(page).encode())
    except OSError as error:
        raise unwritable(output, OPTION, error) from error


def _script_data(rows: list[dict[str, Any]]) -> str:
    """Rows as JSON for a script element, which only "</" and "<!--" could end early."""
    finite = [{name: _finite(value) for name, value in row.items()} for row in rows]
    return json.dumps(finite, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    """Return a value that JSON can hold: null where a number is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return printable(value) if isinstance(value, str) else value


def common_folder(paths: list[str]) -> str:
    """Return the folders that paths or URLs begin with in common, with a slash; empty where there are none."""
    parts = [path.split("/")[:-1] for path in (min(paths), max(paths))] if paths else [[], []]
    same = takewhile(lambda pair: pair[0] == pair[1], zip(*parts, strict=False))
    return "".join(f"{folder}/" for folder, _ in same)
