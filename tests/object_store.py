"""An object store of this machine that speaks S3, and that fails now and then when it is told to."""

import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

SECRET = "not-to-be-seen-anywhere"
BUCKET = "bucket"


@dataclass(frozen=True)
class ObjectStore:
    """A store with one bucket. environment: what a command needs to reach it."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables of botocore, as its users set them."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def system(self) -> Any:
        """Return a file system that reaches the store without an environment."""
        return fsspec.filesystem("s3", endpoint_url=self.url, key="someone", secret=SECRET, use_listings_cache=False)

    def contents(self, prefix: str) -> dict[str, bytes]:
        """Return every object below a prefix of the bucket by its name there."""
        root, system = f"{BUCKET}/{prefix}", self.system()
        names = system.find(root)
        return {name.removeprefix(f"{root}/"): system.cat_file(name) for name in names}

    def uploads(self) -> list[str]:
        """Return the keys of uploads that were begun and not ended."""
        found = self.system().call_s3("list_multipart_uploads", Bucket=BUCKET)
        return [upload["Key"] for upload in found.get("Uploads", [])]


@contextmanager
def object_store(failing: float = 0.0) -> Iterator[ObjectStore]:
    """Run a store; failing: share of requests that end with an error, a plea to slow down, or a cut connection."""
    pytest.importorskip("moto", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    process = subprocess.Popen(
        [sys.executable, Path(__file__), str(failing)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    try:
        store = ObjectStore(f"http://127.0.0.1:{int(process.stdout.readline())}")
        store.system().mkdir(BUCKET)
        yield store
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class _Failing:
    """A WSGI application that fails for a share of the requests, before or after it has done what they ask."""

    def __init__(self, application: Any, share: float) -> None:
        self.application, self.share = application, share
        self.choice = random.Random(0)
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        with self.lock:
            number = self.choice.random()
        if number >= self.share:
            return self.application(environ, start_response)
        kind = int(number / self.share * 4)
        if kind == 0:
            return _error(start_response, "500 Internal Server Error", "InternalError")
        if kind == 1:
            return _error(start_response, "503 Slow Down", "SlowDown")
        if kind == 2:  # done, and the answer is lost
            list(self.application(environ, lambda *_: None))
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError


def _error(start_response: Any, status: str, code: str) -> list[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _serve(failing: float) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application: Any = DomainDispatcherApplication(create_backend_app)
    first = threading.Event()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        """Make the bucket without failing."""
        if first.is_set() and failing:
            return unsteady(environ, start_response)
        if environ["REQUEST_METHOD"] == "PUT":
            first.set()
        return application(environ, start_response)

    unsteady = _Failing(application, failing)
    server = make_server("127.0.0.1", 0, answer, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    _serve(float(sys.argv[1]))
