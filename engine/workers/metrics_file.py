"""Figures of a run as a file that Prometheus' textfile collector reads, renewed while the run goes on."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from ...errors import UnseeError
from ...files import write_bytes
from .daemon_threads import repeating

LOG = logging.getLogger("unsee")
SUFFIX = ".prom"
"""Of the files that the collector reads; no other is written over."""
SECONDS_BETWEEN = 10.0


class Figures(Protocol):
    """What is told of a run, see `RunProgress`."""

    total: int | None
    done: int
    shards: int
    codes: Counter[str]
    stage_seconds: Counter[str]

    @property
    def rate(self) -> float: ...


def check_metrics_file(path: str) -> None:
    """Raise `UnseeError` where a file of figures cannot be called so."""
    if not path.endswith(SUFFIX):
        raise UnseeError(f"{path}: Prometheus' textfile collector reads files that end in {SUFFIX}: call it so")
    if not Path(path).parent.is_dir():
        raise UnseeError(f"{path}: there is no folder {Path(path).parent}")


@contextmanager
def kept_metrics(path: str | None, folder: str, progress: Figures, every: float = SECONDS_BETWEEN) -> Iterator[None]:
    """Renew the file during the block, and once more when it ends; does nothing where path is None.

    A file that cannot be written is said once and ends no run.
    """
    if path is None:
        yield
        return
    writer = _Writer(Path(path), folder, progress)
    writer.write(active=True)
    try:
        with repeating(partial(writer.write, active=True), every):
            yield
    finally:
        writer.write(active=False)


class _Writer:
    def __init__(self, path: Path, folder: str, progress: Figures) -> None:
        self.path, self.folder, self.progress = path, folder, progress
        self.started, self.has_failed = time.time(), False

    def write(self, active: bool) -> None:
        """Write the file under its name at once."""
        try:
            write_bytes(self.path, self.text(active).encode())
        except OSError as error:
            if not self.has_failed:
                LOG.warning("%s: cannot be written (%s): the run goes on without it", self.path, error.strerror)
            self.has_failed = True

    def text(self, active: bool) -> str:
        """Return the figures in Prometheus' text format."""
        progress, now = self.progress, time.time()
        lines = [
            *self._one("images_planned", "gauge", "images that this run has to finish", progress.total or 0),
            *self._one("images_total", "counter", "images finished in this run", progress.done),
            *self._one("shards_total", "counter", "shards finished in this run", progress.shards),
            *self._one("images_per_second", "gauge", "mean speed of this run", progress.rate if progress.done else 0),
            *self._many("images_failed_total", "failed images of this run", "code", dict(progress.codes)),
            *self._many("stage_seconds_total", "seconds of all threads", "stage", dict(progress.stage_seconds)),
            *self._one("run_start_time_seconds", "gauge", "when this run began", self.started),
            *self._one("run_update_time_seconds", "gauge", "when this file was written", now),
            *self._one("run_active", "gauge", "1 while the run goes on", int(active)),
        ]
        return "\n".join(lines) + "\n"

    def _one(self, name: str, kind: str, said: str, value: float) -> list[str]:
        return [*_head(name, kind, said), f"unsee_{name}{{{_labels(folder=self.folder)}}} {value:.15g}"]

    def _many(self, name: str, said: str, label: str, values: Mapping[str, float]) -> list[str]:
        rows = [
            f"unsee_{name}{{{_labels(folder=self.folder, **{label: key})}}} {value:.15g}"
            for key, value in sorted(values.items())
        ]
        return [*_head(name, "counter", said), *rows]


def _head(name: str, kind: str, said: str) -> list[str]:
    return [f"# HELP unsee_{name} {said}", f"# TYPE unsee_{name} {kind}"]


def _labels(**labels: str) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())
