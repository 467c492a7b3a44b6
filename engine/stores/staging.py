"""Folders of this machine in which the results of a remote run are made before they go to their store."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from ...train.networks.downloads import cache_directory
from ..workers.interruption import BusyFolderError, locked

STAGING = "runs"


@contextmanager
def staging_folder(url: str) -> Iterator[Path]:
    """Hold a folder for the results of a URL, the first that no other process holds.

    What a killed run left in it is there again: unfinished shards go on where they stopped.
    """
    base = cache_directory() / STAGING / hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()[:16]
    with ExitStack() as held:
        for number in count():
            try:
                held.enter_context(locked(base / str(number)))
            except BusyFolderError:
                continue
            yield base / str(number)
            return


def clear(folder: Path) -> None:
    """Remove what is in a staging folder, but for its locks."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif not path.name.endswith(".lock"):
            path.unlink()
