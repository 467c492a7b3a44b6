"""Which GPUs this process may use, and which one each of its worker processes gets, found without starting CUDA."""

import os
from pathlib import Path

VARIABLE = "CUDA_VISIBLE_DEVICES"
DRIVER_FILES = Path("/proc/driver/nvidia/gpus")


def visible_gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES knows the GPUs: those it lists, or else all of the driver's.

    As in CUDA, the list ends at the first entry that is no GPU (a negative number).
    """
    listed = os.environ.get(VARIABLE)
    if listed is None:
        return [str(number) for number, _ in enumerate(_driver_files())]
    names: list[str] = []
    for name in listed.split(","):
        if not name.strip() or name.strip().startswith("-"):
            break
        names.append(name.strip())
    return names


def gpus_for(device: str) -> int:
    """Return how many GPUs processes share out between them; none where a device has a number, or is none."""
    return len(visible_gpus()) if device in ("auto", "cuda") else 0


def gpu_of_each(device: str, processes: int) -> list[str | None]:
    """Return for each process the one GPU that it is to see, taken in turn; None where it sees what this process sees.

    A device with a number is taken as it is, by every process.
    """
    gpus = visible_gpus() if gpus_for(device) else []
    return [gpus[index % len(gpus)] if gpus else None for index in range(processes)]


def _driver_files() -> list[Path]:
    return list(DRIVER_FILES.iterdir()) if DRIVER_FILES.is_dir() else []
