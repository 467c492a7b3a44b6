"""Killing runs at random moments and resuming them until they are done: nothing lost, nothing doubled, the same bytes.

`make chaos` kills 25 runs in one process and 25 over Ray, drivers and actors; the tests kill three.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from unsee.engine.verify import faults
from unsee.tests.corpus import contents, write_corpus, write_tiny_model

IMAGES = 400
OPTIONS = ["--iterations", "2", "--number-sample-per-shard", "20", "--batch-size", "4", "--max-error-rate", "0.1"]


def chaos(model: Path, kills: int, distributor: str, seed: int, folder: Path, images: int = IMAGES) -> int:
    """Kill `kills` runs; return in how many folders they ended. Raises AssertionError where an output differs."""
    choice = random.Random(seed)
    if not (folder / "in").exists():
        write_corpus(folder / "in", images)
    command = [
        sys.executable,
        "-m",
        "unsee",
        "run",
        folder / "in",
        "--model",
        model,
        *OPTIONS,
        "--output-format",
        "webdataset",
    ]
    whole = folder / "undisturbed"
    seconds = _seconds(lambda: _finish(command, whole))
    ended = killed = 0
    command += ["--distributor", distributor]
    while killed < kills:
        output = folder / f"{distributor}-{ended}"
        if _killed(command, output, choice, seconds):
            killed += 1
            print(f"{distributor}: kill {killed} of {kills}", flush=True)
        else:
            _compare(whole, output)
            ended += 1
            seconds *= 0.7  # the machine is faster now: kill earlier
    output = folder / f"{distributor}-{ended}"
    _finish(command, output)
    _compare(whole, output)
    return ended + 1


def _finish(command: list[object], output: Path) -> None:
    subprocess.run([*command, "--output-folder", output], check=True, stderr=subprocess.DEVNULL)


def _seconds(action: Callable[[], None]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def _killed(command: list[object], output: Path, choice: random.Random, seconds: float) -> bool:
    """Start or resume a run and kill it, or for Ray sometimes an actor, after a random time; False if it ended before."""
    process = subprocess.Popen([*command, "--output-folder", output], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + choice.uniform(0.2, 1.0) * seconds
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    if process.poll() is not None:
        assert process.returncode == 0, f"a run ended with {process.returncode}"
        return False
    actors = _actors()
    if actors and choice.random() < 0.5:
        os.kill(choice.choice(actors), signal.SIGKILL)
        assert process.wait() == 0, "a run did not survive the loss of an actor"
        return True
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


def _actors() -> list[int]:
    """Return the processes of Ray actors that run shards."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if "ray::ShardWorker" in line]


def _compare(whole: Path, output: Path) -> None:
    assert not list(faults(output)), list(faults(output))[:3]
    one, other = contents(whole), contents(output)
    differing = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    assert not differing, f"{output} differs in {sorted(differing)[:5]}"


def main() -> None:
    """Run the chaos test from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distributors", nargs="+", default=["local", "ray"])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    model = write_tiny_model(folder / "model")
    for distributor in arguments.distributors:
        ended = chaos(model, arguments.kills, distributor, arguments.seed, folder)
        print(f"{distributor}: {arguments.kills} kills over {ended} runs, every output as undisturbed")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
