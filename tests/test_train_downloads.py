"""Official weights from a server on this machine: every way a download can go wrong leaves one line and no file."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unsee.errors import UnseeError
from unsee.train.networks import downloads
from unsee.train.networks.downloads import BLOCK, cache_directory, official_weights
from unsee.train.networks.model_names import pretrained_directory, pretrained_names

CONTENT = bytes(range(256)) * (BLOCK // 128) + b"end"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"vgg16-{DIGEST[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves the file whole under /good, altered under /wrong, cut short under /truncated, and 404 elsewhere."""

    def do_GET(self) -> None:
        bodies = {"/good": CONTENT, "/wrong": CONTENT[::-1], "/truncated": CONTENT[: BLOCK + 5]}
        folder, _, name = self.path.rpartition("/")
        if folder not in bodies or name != NAME:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(bodies[folder])
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setitem(downloads.OFFICIAL_FILES, "vgg16", DIGEST)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_good_file_is_downloaded_once(server: str, tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    path = official_weights("vgg16", cache, f"{server}/good")
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert official_weights("vgg16", cache, "http://127.0.0.1:9/unreachable") == path
    assert [item.name for item in cache.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("wrong", "has not the SHA-256"),
        ("truncated", f"ended after {BLOCK + 5} of {len(CONTENT)} bytes"),
        ("missing", "Not Found"),
    ],
)
def test_failed_download_names_url_and_place_and_leaves_nothing(
    server: str, tmp_path: Path, folder: str, reason: str
) -> None:
    with pytest.raises(UnseeError) as caught:
        official_weights("vgg16", tmp_path, f"{server}/{folder}")
    message = str(caught.value)
    assert reason in message
    assert f"{server}/{folder}/{NAME}" in message
    assert str(tmp_path / NAME) in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_no_network(server: str, tmp_path: Path) -> None:
    del server  # only its patched digest is wanted: nothing listens on port 9
    with pytest.raises(UnseeError, match=r"cannot download http://127\.0\.0\.1:9/vgg16-.*put it at"):
        official_weights("vgg16", tmp_path, "http://127.0.0.1:9")


def test_damaged_file_in_the_cache_is_named(server: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(UnseeError, match=rf"{NAME}: not the file published at .*delete it"):
        official_weights("vgg16", tmp_path, f"{server}/good")


def test_unknown_network() -> None:
    with pytest.raises(UnseeError, match="no official weights are known for 'alexnet'; known: vgg16, squeezenet1_1"):
        official_weights("alexnet")


@pytest.mark.parametrize(("network", "name"), [("vgg16", "vgg16-397923af.pth"), ("resnet18", "resnet18-f37072fd.pth"),
                                               ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth")])  # fmt: skip
def test_official_names(network: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(UnseeError, match=f"http://127.0.0.1:9/{name}"):
        official_weights(network, tmp_path, "http://127.0.0.1:9")


def test_cache_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "unsee"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "unsee"


def test_only_shipped_checkpoints_have_a_directory() -> None:
    for name in pretrained_names():
        directory = pretrained_directory(name)
        assert directory is not None
        assert (directory / "weights.safetensors").is_file()
    assert pretrained_directory("..") is None
    assert pretrained_directory("no-such-model") is None
