"""The most memory that a command holds, on this machine alone and on machines of a Ray cluster that are played on it."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..engine.shards.ray_slots import RayWorker
from ..errors import ExitCode, UnseeError
from ..extras import require

SECONDS_BETWEEN_LOOKS = 0.5


def most_held(command: Sequence[str]) -> float:
    """Run a command; return the megabytes that it held at most. Raises `UnseeError` where it fails."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    _check_ended_well(process, said)
    return usage.ru_maxrss / 1024


def most_held_on_ray(command: Sequence[str], is_time: Callable[[], bool] | None) -> float:
    """Run a command on two machines of a core each; return the megabytes that one of its actors held at most.

    is_time: when a machine is to be killed, whose place another takes; None for never. Raises `UnseeError` where the command
    fails, or ends before that.
    """
    cluster_utils = require("ray.cluster_utils", "ray", "machines of a Ray cluster")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        doomed, _ = (cluster.add_node(num_cpus=1) for _ in range(2))
        most, environment = 0.0, {**os.environ, "RAY_ADDRESS": cluster.address}
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, env=environment, stderr=said)
            while process.poll() is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                most = max(most, _largest_actor())
                if is_time and is_time():
                    cluster.remove_node(doomed, allow_graceful=False)
                    cluster.add_node(num_cpus=1)
                    is_time = None
            said.seek(0)
            _check_ended_well(process, said.read())
    finally:
        cluster.shutdown()
    if is_time:
        raise UnseeError("the run ended before a machine could be killed: take more images")
    return most


def _check_ended_well(process: subprocess.Popen, said: str) -> None:
    if process.returncode != ExitCode.OK:
        raise UnseeError(f"the run ended with {process.returncode}: {said.strip()[-300:]}")


def _largest_actor() -> float:
    """Return the most megabytes that an actor of a run has held, of those that live."""
    return max((_held_by_actor(place) for place in Path("/proc").glob("[0-9]*")), default=0.0)


def _held_by_actor(place: Path) -> float:
    """Return the megabytes that a process has held at most; nothing of one that is no actor of a run, or gone."""
    try:
        if not (place / "cmdline").read_bytes().startswith(f"ray::{RayWorker.__name__}".encode()):
            return 0.0
        held = [line for line in (place / "status").read_text().splitlines() if line.startswith("VmHWM:")]
    except OSError:
        return 0.0
    return int(held[0].split()[1]) / 1024 if held else 0.0
