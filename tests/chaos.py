"""Killing runs at random moments and giving the same command again until it ends: nothing lost, nothing doubled, nothing
left over, the same bytes.

`make chaos` kills 100 runs over every output format and over runs that are extended, retried and overwritten, 25 over
Ray, drivers and actors, and 50 whose results go to an object store that fails for one request in twenty, drivers and
workers; the tests kill a few.
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
from unsee.tests.object_store import BUCKET, ObjectStore, object_store

IMAGES = 120
FORMATS = ("files", "webdataset", "parquet", "npy")
WAYS = ("anew", "extended", "retried", "overwritten")
OPTIONS = ["--method", "saliency-filters", "--number-sample-per-shard", "16", "--batch-size", "4"]
OPTIONS += ["--max-error-rate", "1", "--segment", "saliencycut"]
WORKERS_KILLED = 0.4
"""Share of the kills that hit a worker, where there is one, instead of the driver."""


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
        self.environment = dict(os.environ)

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
            while killed < kills and self._killed(output, seconds, self.choice.random() < WORKERS_KILLED):
                killed += 1
                print(f"{self.scenario}: kill {killed} of {kills}", flush=True)
            self._finish(self._command(again=True), output)
            self._compare(output)
            ended += 1
            seconds *= 0.8  # the machine is faster now: kill earlier
        return ended

    def _copy(self, output: Path) -> Path | str:
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

    def _finish(self, command: list[object], output: Path | str) -> None:
        arguments = [*map(str, command), "--output-folder", output]
        result = subprocess.run(arguments, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def _killed(self, output: Path | str, seconds: float, worker: bool) -> bool:
        """Start or resume a run and kill it, or one of its workers, after some time; False if it ended before."""
        arguments = [*map(str, self._command(again=True)), "--output-folder", str(output)]
        process = subprocess.Popen(
            arguments, cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + self.choice.uniform(0.2, 1.0) * seconds
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        if process.poll() is not None:
            assert process.returncode == 0, f"a run ended with {process.returncode}"
            return False
        workers = self._workers(process.pid) if worker else []
        if workers:
            os.kill(self.choice.choice(workers), signal.SIGKILL)
            assert process.wait() == 0, "a run did not survive the loss of a worker"
            return True
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True

    def _workers(self, driver: int) -> list[int]:
        """Return the processes of a run's workers: of Ray those that run shards, else the driver's children."""
        ray = self.scenario.distributor == "ray"
        command = ["pgrep", "-f", "ray::RayWorker"] if ray else ["pgrep", "-P", str(driver)]
        return [int(line) for line in subprocess.run(command, capture_output=True, text=True).stdout.split()]

    def _compare(self, output: Path | str) -> None:
        assert not list(faults(Path(output))), list(faults(Path(output)))[:3]
        self._compare_contents(_contents(Path(output)), output)

    def _compare_contents(self, other: dict[str, bytes], output: Path | str) -> None:
        one = _contents(self.whole)
        differing = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
        assert not differing, f"{output} differs in {sorted(differing)[:5]}"


class RemoteKilling(Killing):
    """Kills runs whose results go to an object store."""

    def __init__(self, scenario: Scenario, folder: Path, choice: random.Random, store: ObjectStore) -> None:
        super().__init__(scenario, folder, choice)
        self.store = store
        self.environment |= {**store.environment, "XDG_CACHE_HOME": str(folder / "cache")}

    def _copy(self, output: Path) -> Path | str:
        return output if output == self.whole else f"s3://{BUCKET}/{self.scenario.output_format}/{output.name}"

    def _command(self, again: bool) -> list[object]:
        return [*super()._command(again), "--processes", "2", "--segment", "none"]

    def _compare(self, output: Path | str) -> None:
        command = [Path(sys.executable).parent / "unsee", "verify", str(output)]
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        contents = self.store.contents(str(output).removeprefix(f"s3://{BUCKET}/"))
        self._compare_contents({name: without_times(name, data) for name, data in contents.items()}, output)
        assert self.store.uploads() == []
        assert not [path for path in (self.folder / "cache").rglob("*") if path.is_file()]


def _contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a run directory, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): without_times(path.name, path.read_bytes()) for path in files}


def without_times(name: str, data: bytes) -> bytes:
    """Return the bytes of a result; none of a done-mark's, which hold times."""
    return b"" if name.endswith("_stats.json") else data


def _seconds(action: Callable[[], None]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def kill_remote(kills: int, choice: random.Random) -> int:
    """Kill so many runs of every format over a store that fails for one request in twenty; return in how many folders."""
    ended = 0
    with object_store(failing=0.05) as store:
        for place, output_format in enumerate(FORMATS):
            share = kills * (place + 1) // len(FORMATS) - kills * place // len(FORMATS)
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                ended += RemoteKilling(Scenario(output_format, "anew"), Path(folder), choice, store).kill(share)
    return ended


def main() -> None:
    """Run the chaos test from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="over every format and way")
    parser.add_argument("--ray-kills", type=int, default=25)
    parser.add_argument("--remote-kills", type=int, default=50)
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
    ended = kill_remote(arguments.remote_kills, choice)
    print(f"object store: {arguments.remote_kills} kills over {ended} runs, every output as undisturbed", flush=True)


if __name__ == "__main__":
    main()
