"""Which files of a run directory an index may replace."""

from pathlib import Path

from ...errors import UnseeError

BEGINNING = 4096
"""Bytes within which our mark stands."""


def refuse_strangers(path: Path, mark: str) -> None:
    """Raise `UnseeError` where a file is there that does not bear the mark of our own."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if mark.encode() not in file.read(BEGINNING):
            raise UnseeError(f"{path} is there, and not of unsee: move it away")
