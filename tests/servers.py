"""A web server of this machine that answers as bad ones do."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = b"x" * 65536


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].strip("/")
        answer = getattr(self, f"_{name.partition('.')[0]}", None)
        if name in self.server.files:
            self._send(200, self.server.files[name])
        elif answer:
            answer()
        else:
            self._send(404, b"not here")

    do_HEAD = do_GET

    def _send(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _broken(self) -> None:
        self._send(503, b"")

    def _away(self) -> None:
        self._send(302, b"", Location=f"http://127.0.0.1:{self.server.server_port}/good.jpg")

    def _endless(self) -> None:
        self._unsized(CHUNK, 0)

    def _trickle(self) -> None:
        self._unsized(b"x", 0.05)

    def _unsized(self, chunk: bytes, pause: float) -> None:
        self.send_response(200)
        self.end_headers()
        end = time.monotonic() + 60
        while self.command == "GET" and time.monotonic() < end and self.server.sent < 1 << 30:
            self.wfile.write(chunk)
            self.server.sent += len(chunk)
            time.sleep(pause)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    sent = 0

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that has heard enough."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[_Server]:
    """Serve files, and `broken`, `away` (a redirect), `endless` and `trickle`; everything else is not there."""
    with _Server(files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
