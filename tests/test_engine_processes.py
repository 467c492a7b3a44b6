"""A held process: calls, errors, notes, crashes."""

import logging
import os
import signal
import threading
from functools import partial

import pytest

from unsee.engine.workers.processes import CrashedProcessError, HeldProcess
from unsee.errors import UnseeError


class TwoWordsError(Exception):
    """An error that pickle cannot rebuild."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class Counter:
    """Counts its calls in the process that holds it."""

    def __init__(self, start, note, ask):
        self.count, self.note, self.ask = start, note, ask

    def next(self, step):
        self.count += step
        self.note(self.count)
        return self.count

    def process(self):
        return os.getpid(), os.environ.get("GREETING")

    def fail(self, kind):
        raise {"user": UnseeError("a mistake"), "odd": TwoWordsError("two", "words")}[kind]

    def log(self):
        logging.getLogger("unsee.engine").info("making %s", "ready")

    def end(self, number):
        if number < 0:
            os.kill(os.getpid(), -number)
        os._exit(number)


@pytest.fixture()
def held():
    """A process with a counter, and its notes."""
    notes = []
    process = HeldProcess(partial(Counter, 10), notes.append, {"GREETING": "hello"})
    yield process, notes
    process.kill()


def test_calls_notes_errors_and_messages(held, caplog):
    process, notes = held
    assert not process.answered
    assert [process.call("next", 1), process.call("next", 5)] == [11, 16]
    assert notes == [11, 16]
    assert process.answered
    pid, greeting = process.call("process")
    assert pid == process.pid != os.getpid()
    assert greeting == "hello"
    with pytest.raises(UnseeError, match="a mistake"):
        process.call("fail", "user")
    with pytest.raises(RuntimeError, match="TwoWordsError: two words"):
        process.call("fail", "odd")
    with caplog.at_level(logging.INFO, "unsee"):
        process.call("log")
        process.call("log")
    assert [record.message for record in caplog.records] == ["making ready"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (-signal.SIGKILL, r"killed \(SIGKILL\): out of memory\?"),
        (-signal.SIGSEGV, r"killed \(SIGSEGV\)$"),
        (7, "code 7"),
    ],
)
def test_a_crash_says_what_happened(held, number, message):
    process, _ = held
    with pytest.raises(CrashedProcessError, match=message):
        process.call("end", number)
    assert process.ended
    with pytest.raises(CrashedProcessError, match=message):
        process.call("next", 1)


def test_a_killed_process_ends_a_call_of_another_thread(held):
    process, _ = held
    process.call("next", 1)
    threading.Timer(0.2, process.kill).start()
    with pytest.raises(CrashedProcessError, match="SIGKILL"):
        process.call("end", -signal.SIGSTOP)
