"""Locks that leave nothing behind."""

import errno
import fcntl
import logging
import signal
import threading
import time

import pytest

from unsee.engine.workers.interruption import interruptible, locked, wait_for_workers, working
from unsee.errors import UnseeError


def test_locks_and_folders_made_for_them_are_removed(tmp_path):
    folder = tmp_path / "a/b"
    with locked(folder):
        assert [path.name for path in folder.iterdir()] == [".lock"]
        wait_for_workers(folder)
        with working(folder):
            assert (folder / ".workers.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_hold_something_or_were_there_stay(tmp_path):
    (tmp_path / "a").mkdir()
    with locked(tmp_path / "a"):
        pass
    with locked(tmp_path / "b/c"):
        (tmp_path / "b/c/map").touch()
    assert (tmp_path / "a").exists()
    assert [path.name for path in (tmp_path / "b/c").iterdir()] == ["map"]


def test_a_refused_run_leaves_the_lock_of_the_other(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UnseeError, match="another run is writing"), locked(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
        with pytest.raises(UnseeError, match="another run is writing"), locked(tmp_path):
            pass


def test_many_that_lock_and_remove_are_never_two_inside(tmp_path):
    inside, counts, guard = [0, 0], [], threading.Lock()

    def work():
        for _ in range(60):
            try:
                with locked(tmp_path / "a/b"):
                    with guard:
                        inside[0] += 1
                        inside[1] = max(inside)
                    time.sleep(0.0003)
                    with guard:
                        inside[0] -= 1
                    counts.append(1)
            except UnseeError:
                pass

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts and inside == [0, 1]


def test_a_worker_that_still_writes_keeps_its_mark(tmp_path):
    with working(tmp_path):
        with locked(tmp_path):
            pass
        assert (tmp_path / ".workers.lock").exists()


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING, "unsee"), locked(tmp_path):
        pass
    assert "cannot be locked (No locks available)" in caplog.text


def test_a_hangup_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.signal(signal.SIGHUP, before)
