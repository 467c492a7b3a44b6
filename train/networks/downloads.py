"""torchvision's official weight files by network name: from the cache directory, or downloaded into it."""

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ...errors import UnseeError
from ...files import atomic_path, sha256_of

BASE_URL = "https://download.pytorch.org/models"
OFFICIAL_FILES = {
    "vgg16": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "squeezenet1_1": "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    "resnet18": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
}
"""The networks that torchvision publishes weights of, with the files' SHA-256 (its first 8 digits name the file)."""
TIMEOUT_SECONDS = 30
BLOCK = 1 << 20


def official_weights(network: str, cache: Path | None = None, base_url: str = BASE_URL) -> Path:
    """Return the official weight file of a network of `OFFICIAL_FILES`, downloading it where the cache lacks it.

    Raises `UnseeError` naming the URL and where to put the file if it cannot be had or is not the published one.
    """
    if network not in OFFICIAL_FILES:
        raise UnseeError(f"no official weights are known for {network!r}; known: {', '.join(OFFICIAL_FILES)}")
    digest = OFFICIAL_FILES[network]
    name = f"{network}-{digest[:8]}.pth"
    path, url = (cache or cache_directory()) / name, f"{base_url}/{name}"
    if not path.exists():
        _download(url, path, digest)
    elif sha256_of(path) != digest:
        raise UnseeError(f"{path}: not the file published at {url} (its SHA-256 differs): delete it")
    return path


def cache_directory() -> Path:
    """Return the directory of downloaded files: unsee in $XDG_CACHE_HOME, by default ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "unsee"


def _download(url: str, path: Path, digest: str) -> None:
    """Fetch `url` into `path`; nothing is left there unless the whole file came and its SHA-256 is `digest`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, temporary.open("wb") as file:
                _copy(response, file, path.name)
            if sha256_of(temporary) != digest:
                raise ValueError(f"the file that came has not the SHA-256 {digest}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UnseeError(f"cannot download {url} ({reason}); fetch it elsewhere and put it at {path}") from None


def _copy(response: http.client.HTTPResponse, file: BinaryIO, name: str) -> None:
    """Copy the body of a response to `file` with a progress bar; a body that ends early is a `ValueError`."""
    length = response.headers.get("Content-Length")
    expected = int(length) if length else None
    received = 0
    columns = TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=expected)
        while block := response.read(BLOCK):
            file.write(block)
            received += len(block)
            progress.advance(task, len(block))
    if expected is not None and received < expected:
        raise ValueError(f"the connection ended after {received} of {expected} bytes")
