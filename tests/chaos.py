"""Killing runs at random moments and giving the same command again until it ends: nothing lost, nothing doubled, nothing
left over, the same bytes.

`make chaos` kills 100 runs over every output format and over runs that are extended, retried and overwritten, and 25 over
Ray, drivers and actors; the tests kill a few.
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
from dataclasses import dataclass
from pathlib import Path

from unsee.engine.verify import faults
from unsee.tests.corpus import picture_files

IMAGES = 120
FORMATS = ("files", "webdataset", "parquet", "npy")
WAYS = ("anew", "extended", "retried", "overwritten")
OPTIONS = ["--method", "saliency-filters", "--number-sample-per-shard", "16", "--batch-size", "4"]
OPTIONS += ["--max-error-rate", "1", "--segment", "saliencycut"]


@dataclass(frozen=True)
class Scenario:
    """A run that is killed: its output format, and the way in which it takes up what is in its folder."""

    output_format: str
    way: str
    distributor: str = "local"

    def __str__(self) -> str:
        return f"{self.output_format}, {self.way}, {self.distributor}"


class Corpus:
    """Pictures in two folders, some of them damaged until they are repaired."""

    def __init__(self, folder: Path, images: int) -> None:
        self.folder = folder
        self.pictures = picture_files(images)

    def write(self) -> None:
        """Write both folders as they are at first: every ninth picture is damaged."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for number, data in enumerate(self.pictures):
            self._write(number, data[:40] if number % 9 == 0 else data)

    def repair(self) -> None:
        """Make the damaged pictures whole."""
        for number in range(0, len(self.pictures), 9):
            self._write(number, self.pictures[number])

    def _write(self, number: int, data: bytes) -> None:
        path = (
            self.folder / ("first" if number < len(self.pictures) // 2 else "second") / f"{number % 7}/{number:03d}.jpg"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class Killing:
    """Kills the runs of one scenario; the folder keeps what they are compared with."""

    def __init__(self, scenario: Scenario, folder: Path, choice: random.Random, images: int = IMAGES) -> None:
        self.scenario, self.folder, self.choice = scenario, folder, choice
        self.corpus = Corpus(folder / "in", images)
        self.start, self.whole = folder / "start", folder / "whole"

    def kill(self, kills: int) -> int:
        """Kill so many runs and end each folder; return in how many folders. AssertionError where an output differs."""
        self.corpus.write()
        if self.scenario.way != "anew":
            self._finish(self._command(again=False), self.start)
        if self.scenario.way == "retried":
            self.corpus.repair()
        seconds = _seconds(lambda: self._finish(self._command(again=True), self._copy(self.whole)))
        killed = ended = 0
        while killed < kills:
            output = self._copy(self.folder / f"killed-{ended}")
            while killed < kills and self._killed(output, seconds):
                killed += 1
                print(f"{self.scenario}: kill {killed} of {kills}", flush=True)
            self._finish(self._command(again=True), output)
            self._compare(output)
            ended += 1
            seconds *= 0.8  # the machine is faster now: kill earlier
        return ended

    def _copy(self, output: Path) -> Path:
        return shutil.copytree(self.start, output) if self.start.exists() else output

    def _command(self, again: bool) -> list[object]:
        scenario = self.scenario
        inputs = ["in/first"] if scenario.way == "extended" and not again else ["in/first", "in/second"]
        command: list[object] = [Path(sys.executable).parent / "unsee", "run", *inputs, *OPTIONS]
        how = {"extended": ["--extend"], "retried": ["--retry-errors", "all"], "overwritten": ["--overwrite"]}
        if again:
            command += how.get(scenario.way, [])
        if scenario.way == "overwritten" and not again:  # what is overwritten is another run, with more files
            return [*command, "--output-format", "files", "--number-sample-per-shard", "8"]
        return [*command, "--output-format", scenario.output_format, "--distributor", scenario.distributor]

    def _finish(self, command: list[object], output: Path) -> None:
        arguments = [*command, "--output-folder", output]
        result = subprocess.run(arguments, cwd=self.folder, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def _killed(self, output: Path, seconds: float) -> bool:
        """Start or resume a run and kill it, or for Ray sometimes an actor, after some time; False if it ended before."""
        arguments = [*self._command(again=True), "--output-folder", output]
        process = subprocess.Popen(arguments, cwd=self.folder, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + self.choice.uniform(0.2, 1.0) * seconds
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        if process.poll() is not None:
            assert process.returncode == 0, f"a run ended with {process.returncode}"
            return False
        actors = _actors() if self.scenario.distributor == "ray" else []
        if actors and self.choice.random() < 0.5:
            os.kill(self.choice.choice(actors), signal.SIGKILL)
            assert process.wait() == 0, "a run did not survive the loss of an actor"
            return True
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True

    def _compare(self, output: Path) -> None:
        assert not list(faults(output)), list(faults(output))[:3]
        one, other = _contents(self.whole), _contents(output)
        differing = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
        assert not differing, f"{output} differs in {sorted(differing)[:5]}"


def _contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a run directory, hidden ones too; of the stats, which hold times, the name alone."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): b"" if path.name.endswith("_stats.json") else path.read_bytes() for path in files
    }


def _seconds(action: Callable[[], None]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def _actors() -> list[int]:
    """Return the processes of Ray actors that run shards."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if "ray::RayWorker" in line]


def main() -> None:
    """Run the chaos test from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="over every format and way")
    parser.add_argument("--ray-kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scenarios = [(Scenario(output_format, way), arguments.kills / 16) for output_format in FORMATS for way in WAYS]
    scenarios.append((Scenario("webdataset", "anew", "ray"), arguments.ray_kills))
    choice, killed = random.Random(arguments.seed), 0.0
    for scenario, share in scenarios:
        kills, killed = round(killed + share) - round(killed), killed + share
        if kills:
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                ended = Killing(scenario, Path(folder), choice).kill(kills)
            print(f"{scenario}: {kills} kills over {ended} runs, every output as undisturbed", flush=True)


if __name__ == "__main__":
    main()
