"""Marks beside what takes long to make: from what it was made. Written last, so that what is cut short has none."""

from pathlib import Path
from typing import Any

from ...errors import UnseeError
from ...files import write_json
from ..networks.metadata import read_json


def mark_made(path: Path, digest: str, **figures: Any) -> None:
    """Say that what lies beside `path` is complete, and was made from what `digest` stands for."""
    write_json(path, {"digest": digest, **figures})


def made(path: Path, digest: str) -> dict[str, Any] | None:
    """Return what a mark says; None where there is none, or it stands for something else."""
    try:
        found = read_json(path) if path.exists() else None
    except UnseeError:  # cut short
        return None
    return found if isinstance(found, dict) and found.get("digest") == digest else None
