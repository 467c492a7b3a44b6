"""A process of its own that holds one object, calls its methods when asked, and never outlives the process that started it.

The child is started as a program and not by `multiprocessing`: it imports nothing but what its object needs, runs the
same from scripts, notebooks and consoles, and takes no helper process along.
"""

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

Note: TypeAlias = Callable[[Any], None]
Ask: TypeAlias = Callable[[], Any]
Maker: TypeAlias = Callable[[Note, Ask], Any]

PROGRAM = f"import sys; sys.path[:] = sys.argv[2:]; from {__name__} import serve; serve(int(sys.argv[1]))"
SECONDS_TO_END = 5.0
"""How long a process that closed its connection may take to end before it counts as one that hangs."""


class CrashedProcessError(Exception):
    """A process ended while something was asked of it."""


class HeldProcess:
    """A process that holds what `make` returns; make, arguments and results must be picklable.

    make is called in the process with two functions: one sends a note to `on_note` here, one asks for what `answer` of the
    call returns. environment: variables that the process has beside those of this one.
    """

    def __init__(self, make: Maker, on_note: Note, environment: Mapping[str, str]) -> None:
        self.on_note = on_note
        self.answered = False
        """Whether a note or a result has ever come: the object is made and works."""
        mine, its = socket.socketpair()
        with mine, its, _held_back_interruptions():
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(its.fileno()), *sys.path],
                stdin=subprocess.PIPE,  # at its end when this process dies, however it dies
                pass_fds=[its.fileno()],
                env={**os.environ, **environment},
            )
            self._connection = Connection(mine.detach())
        self._make = make

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process is no more."""
        return self._process.poll() is not None

    def call(self, method: str, *arguments: Any, answer: Ask | None = None) -> Any:
        """Call a method of the object and wait for what it returns; what it raises is raised here.

        answer: called here whenever the method asks. Raises `CrashedProcessError` where the process ends before.
        """
        try:
            self._connection.send((self._make, method, arguments))
            while True:
                kind, value = self._connection.recv()
                if kind == "note":
                    self.answered = True
                    self.on_note(value)
                elif kind == "ask":
                    self._connection.send(answer and answer())
                elif kind == "log":
                    _say_once(*value)
                else:
                    self.answered = self.answered or kind == "result"
                    return _unpacked(kind, value)
        except (EOFError, OSError):
            raise CrashedProcessError(self._ending()) from None

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _ending(self) -> str:
        try:
            code = self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.kill()
            return "a worker process closed its connection"
        if code >= 0:
            return f"a worker process ended with exit code {code}"
        name = signal.Signals(-code).name
        reason = ": out of memory?" if -code == signal.SIGKILL else ""
        return f"a worker process was killed ({name}){reason}"


def serve(descriptor: int) -> None:
    """Answer calls over a connection until it is closed: what the started process runs."""
    threading.Thread(target=_end_with_driver, daemon=True).start()
    connection, sending = Connection(descriptor), threading.Lock()

    def send(kind: str, value: Any) -> None:
        with sending:
            connection.send((kind, value))

    def ask() -> Any:
        send("ask", None)
        return connection.recv()

    _forward_log(send)
    held: Any = None
    while True:
        try:
            make, method, arguments = connection.recv()
        except EOFError:
            return
        try:
            held = held or make(partial(send, "note"), ask)
            send("result", getattr(held, method)(*arguments))
        except Exception as error:  # raised where the call was made
            send("error", _packed(error))


def _end_with_driver() -> None:
    """End this process at once when its standard input does: nothing but the life of the driver keeps that open."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)  # every file under a final name is whole at any moment


@contextmanager
def _held_back_interruptions() -> Iterator[None]:
    """Start processes that are deaf to a terminal's signals, from their first moment: the driver decides what they mean."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _packed(error: Exception) -> bytes:
    """Return a pickled error, or where it cannot travel one with the same words."""
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:  # whatever the error's own methods raise
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed


def _unpacked(kind: str, value: Any) -> Any:
    if kind == "error":
        raise pickle.loads(value)
    return value


class _Forwarding(logging.Handler):
    def __init__(self, send: Callable[[str, Any], None]) -> None:
        super().__init__(logging.INFO)
        self.send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a message on."""
        self.send("log", (record.levelno, record.getMessage()))


def _forward_log(send: Callable[[str, Any], None]) -> None:
    logger = logging.getLogger("unsee")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Forwarding(send))


_said: set[str] = set()
"""The messages of all processes so far."""


def _say_once(level: int, message: str) -> None:
    """Log what several processes say alike."""
    if message not in _said:
        _said.add(message)
        logging.getLogger("unsee").log(level, "%s", message)
