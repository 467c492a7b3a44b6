"""Runs that are killed, interrupted, or held up by a read that never answers: they end, and nothing of them stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unsee.tests.commands.running import FAST, command, statuses, unsee

ENDLESS = ("--iterations", "10000", "--number-sample-per-shard", "4", "--batch-size", "3")

HANGING = """
import threading, fsspec
from fsspec.implementations.local import LocalFileSystem

class Hanging(LocalFileSystem):
    protocol = "hanging"

    def open(self, path, *arguments, **options):
        open(MARK, "w").close()
        threading.Event().wait()

fsspec.register_implementation("hanging", Hanging)
"""


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and theirs, but for dead ones."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found += [int(folder.name), *descendants(int(folder.name))]
    return found


def alive(pid: int) -> bool:
    """Tell whether a process still runs."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waited(condition, seconds=120.0):
    """Wait until a condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came true")


def started(*arguments, env=None):
    """Start a command in a session of its own."""
    return subprocess.Popen(
        command(*arguments),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture()
def hanging(tmp_path):
    """The environment in which every file of hanging:// opens for ever, and the file that says that one does."""
    mark = tmp_path / "opened"
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin/sitecustomize.py").write_text(f"MARK = {str(mark)!r}\n{HANGING}")
    path = os.pathsep.join([str(tmp_path / "plugin"), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path.rstrip(os.pathsep)}, mark


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130), (signal.SIGHUP, 130)],
)
def test_no_worker_outlives_its_driver(photographs, tiny_bundle, tmp_path, number, code):
    out = tmp_path / "out"
    base = ("run", photographs, "--output-folder", out, "--model", tiny_bundle, *ENDLESS, "--processes", 2)
    driver = started(*base)
    workers = waited(lambda: (out / "plan.json").exists() and descendants(driver.pid))
    assert len(workers) == 2
    driver.send_signal(number)
    began = time.monotonic()
    assert driver.wait(60) == code
    waited(lambda: not any(map(alive, workers)), 10)
    assert time.monotonic() - began < 30
    message = driver.stderr.read() if driver.stderr else ""
    assert "Traceback" not in message
    if code == 130:
        assert "the same command goes on" in message
        assert not list(out.glob(".*lock"))


def test_workers_that_die_at_their_start_are_one_line(photographs, tiny_bundle, tmp_path):
    base = ("run", photographs, "--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST, "--processes", 2)
    driver = started(*base)
    while driver.poll() is None:
        for worker in descendants(driver.pid):
            os.kill(worker, signal.SIGKILL)
        time.sleep(0.02)
    message = driver.stderr.read() if driver.stderr else ""
    assert driver.returncode == 1, message
    assert "a worker process was killed (SIGKILL): out of memory?" in message
    assert "--processes" in message
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_a_worker_that_dies_is_replaced(photographs, tiny_bundle, tmp_path):
    out = tmp_path / "out"
    base = ("run", photographs, "--output-folder", out, "--model", tiny_bundle, *FAST, "--processes", 2)
    driver = started(*base, "--max-shard-retry", 3)
    workers = waited(lambda: (out / "plan.json").exists() and descendants(driver.pid))
    os.kill(workers[0], signal.SIGKILL)
    assert driver.wait(120) == 0
    assert {status for status, _ in statuses(out).values()} == {"success"}
    assert len(statuses(out)) == 12


def run_of_list(folder, bundle):
    """The arguments of a run over list.txt of a folder."""
    return ("run", folder / "list.txt", "--output-folder", folder / "out", "--model", bundle, "--iterations", 1)


@pytest.mark.proof
def test_an_error_does_not_wait_for_a_read_that_hangs(photographs, tiny_bundle, tmp_path, hanging):
    env, opened = hanging
    (tmp_path / "bad.jpg").touch()
    good = [photographs / f"{number:02d}.{'png' if number % 2 else 'jpg'}" for number in range(7)]
    names = [tmp_path / "bad.jpg", *good, "hanging:///somewhere/b.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(map(str, names)))
    base = run_of_list(tmp_path, tiny_bundle)
    message = unsee(
        *base, "--on-error", "raise", "--batch-size", 3, "--timeout", 20, env=env, expect=3, timeout=150
    ).err
    assert opened.exists()
    assert "bad.jpg: failed_to_decode" in message


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interruption_does_not_wait_for_a_read_that_hangs(tiny_bundle, tmp_path, hanging, number):
    env, opened = hanging
    (tmp_path / "list.txt").write_text("hanging:///somewhere/a.jpg\n")
    base = run_of_list(tmp_path, tiny_bundle)
    driver = started(*base, "--timeout", 600, env=env)
    waited(opened.exists)
    began = time.monotonic()
    driver.send_signal(number)
    assert driver.wait(60) == 130
    assert time.monotonic() - began < 20
    assert "the same command goes on" in (driver.stderr.read() if driver.stderr else "")


def test_a_refused_run_leaves_nothing(photographs, tiny_bundle, tmp_path):
    unsee("run", "nowhere", "--output-folder", tmp_path / "new/out", "--model", tiny_bundle, *FAST, expect=2)
    assert not (tmp_path / "new").exists()


def test_a_script_without_a_guard_can_use_processes(photographs, tiny_bundle, tmp_path):
    """Workers do not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import unsee

print("once")
sources = unsee.Sources(({str(photographs)!r},))
unsee.run(unsee.RunConfig(sources, {str(tmp_path / "out")!r}, model={str(tiny_bundle)!r}, processes=2))
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["once"]
    assert len(statuses(tmp_path / "out")) == 12
