"""On what a benchmark ran."""

import platform
import subprocess
from pathlib import Path
from typing import Any

from ...extras import versions_of
from ...threads import cores

PACKAGES = ("unsee", "torch", "onnxruntime", "numba", "numpy")


def machine() -> dict[str, Any]:
    """Return processor, cores, package versions and the commit of the sources, where they can be found."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "python": platform.python_version(),
        **versions_of(PACKAGES),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str | None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
