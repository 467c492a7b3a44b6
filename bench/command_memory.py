"""The most memory that a command holds, on this machine alone and on machines of a Ray cluster that are played on it.

The system's own account of a process that ended (`resource`, `os.wait4`) is at least what its parent held when it began it,
so processes are watched while they live.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..engine.shards.ray_slots import RayWorker
from ..errors import ExitCode, UnseeError
from ..extras import require

SECONDS_BETWEEN_LOOKS = 0.2


def held_by(process: int | str = "self") -> float:
    """Return the most megabytes that a process has held so far; nothing of one that is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def most_held(command: Sequence[str]) -> float:
    """Run a command; return the megabytes that it held at most. Raises `UnseeError` where it fails."""
    return _watched(command, os.environ, held_by)


def most_held_on_ray(command: Sequence[str], is_time: Callable[[], bool] | None) -> float:
    """Run a command on two machines of a core each; return the megabytes that one of its actors held at most.

    is_time: when a machine is to be killed, whose place another takes; None for never. Raises `UnseeError` where the command
    fails, or ends before that.
    """
    cluster_utils = require("ray.cluster_utils", "ray", "machines of a Ray cluster")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})

    def look(_: int) -> float:
        nonlocal is_time
        if is_time and is_time():
            cluster.remove_node(doomed, allow_graceful=False)
            cluster.add_node(num_cpus=1)
            is_time = None
        return max(map(held_by, _actors()), default=0.0)

    try:
        doomed, _ = (cluster.add_node(num_cpus=1) for _ in range(2))
        most = _watched(command, {**os.environ, "RAY_ADDRESS": cluster.address}, look)
    finally:
        cluster.shutdown()
    if is_time:
        raise UnseeError("the run ended before a machine could be killed: take more images")
    return most


def _watched(command: Sequence[str], environment: Mapping[str, str], look: Callable[[int], float]) -> float:
    """Run a command; return the most that a look at it, by its number, has found."""
    most = 0.0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stderr=said)
        while process.poll() is None:
            most = max(most, look(process.pid))
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if process.returncode != ExitCode.OK:
            said.seek(0)
            raise UnseeError(f"the run ended with {process.returncode}: {said.read().strip()[-300:]}")
    return most


def _actors() -> list[int]:
    """Return the numbers of the processes that are actors of a run."""
    name = f"ray::{RayWorker.__name__}".encode()
    return [int(place.name) for place in Path("/proc").glob("[0-9]*") if _command_line(place).startswith(name)]


def _command_line(place: Path) -> bytes:
    try:
        return (place / "cmdline").read_bytes()
    except OSError:
        return b""  # it is gone
