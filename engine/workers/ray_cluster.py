"""The Ray cluster that `--distributor ray` joins: whether it is there, and whether the actors fit."""

import os
import socket
from types import ModuleType
from typing import Any

from ...errors import DeviceUnavailableError, UnseeError, first_line
from ...extras import require

CORES_OF_ACTOR = 1
CONNECT_SECONDS = 10.0
"""How long the cluster's address may take to answer."""
START_SECONDS = 120.0
"""How long an actor may wait for its place: another user of the cluster may hold what it needs."""


def joined_ray() -> ModuleType:
    """Return Ray, joined to the cluster of RAY_ADDRESS or to a local one that this starts.

    Raises `DeviceUnavailableError` where no cluster answers at that address.
    """
    ray = require("ray", "ray", "--distributor ray")
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        return ray
    _check_answers(address)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, first_line(error)) from None
    return ray


def needs_of_actor(on_gpu: bool) -> dict[str, int]:
    """Return what an actor takes of the cluster, as Ray's options.

    Beside its GPU an actor takes the cores that every machine has for each of its GPUs: Ray gives one that asks for none a
    single thread.
    """
    if not on_gpu:
        return {"num_cpus": CORES_OF_ACTOR}
    machines = [node["Resources"] for node in joined_ray().nodes() if node["Alive"]]
    shares = [int(one.get("CPU", 0) // one["GPU"]) for one in machines if one.get("GPU")]
    return {"num_gpus": 1, "num_cpus": max(1, min(shares, default=1))}


def takes_gpus(device: str, runs_model: bool) -> bool:
    """Tell whether the actors of a run take GPUs: where they are asked for, and where auto finds some in the cluster."""
    found = device == "auto" and runs_model and "GPU" in joined_ray().cluster_resources()
    return device.startswith("cuda") or found


def room(on_gpu: bool) -> int:
    """Return for how many actors the cluster has GPUs, or cores, as it is now."""
    offered = int(joined_ray().cluster_resources().get("GPU" if on_gpu else "CPU", 0))
    return offered if on_gpu else offered // CORES_OF_ACTOR


def check_room(actors: int, on_gpu: bool) -> None:
    """Refuse more actors than the cluster has GPUs or cores for: those left over would wait for ever."""
    fitting = room(on_gpu)
    if actors > fitting:
        raise DeviceUnavailableError(
            f"--processes {actors} does not fit into the Ray cluster: it has {'GPUs' if on_gpu else 'cores'} for {fitting}; "
            f"use --processes {max(1, fitting)}, or a larger cluster (RAY_ADDRESS)"
        )


def wait_for_places(actors: list[Any]) -> None:
    """Return when every actor has started; `DeviceUnavailableError` where the cluster has no free place for one."""
    answer([actor.__ray_ready__.remote() for actor in actors], START_SECONDS)


def answer(asked: Any, seconds: float | None = None) -> Any:
    """Return what actors answer; what they raised is raised here as it was, and a dead one is a user error.

    seconds: how long to wait, for ever where None.
    """
    ray = joined_ray()
    try:
        return ray.get(asked, timeout=seconds)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.GetTimeoutError:
        raise DeviceUnavailableError(
            f"a Ray actor found no free place in the cluster for {seconds:g} seconds: wait for others to end, "
            "or use fewer --processes"
        ) from None
    except ray.exceptions.RayError as error:
        raise UnseeError(f"a Ray actor cannot be started ({type(error).__name__}: {first_line(error)})") from None


def is_gone(error: Exception) -> bool:
    """Tell whether an actor was lost with its machine: a process that died alone is another matter."""
    errors = joined_ray().exceptions
    return isinstance(error, errors.ActorUnavailableError | errors.NodeDiedError) or (
        isinstance(error, errors.RayActorError) and "node has died" in str(error)
    )


def _check_answers(address: str) -> None:
    """Refuse an address that nothing answers at: Ray would try for minutes. `auto` and `local` are Ray's own words."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return
    if not separator or not port.isdigit():
        raise _no_cluster(address, "it must be HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, first_line(error)) from None


def _no_cluster(address: str, reason: str) -> DeviceUnavailableError:
    return DeviceUnavailableError(f"RAY_ADDRESS is {address}, where no Ray cluster can be joined: {reason}")
