"""Everything that only a GPU can show, in one command of under eight minutes: `python -m unsee.bench.gpu`.

Each section runs in a process of its own, for no longer than its time: one that fails, hangs or takes the device down
costs its own figures, and not those of the others. The JSON file is written again after every section. It needs nothing
beside the checkout, and runs to its end on a machine without a GPU, where sections that need one say so.
"""

import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UnseeError
from ..export.runtime.driver import cuda_devices
from ..files import write_json
from ..terminal import stderr, stdout
from .device.scale import Deadline, NeedsGpuError, Scale, Section

SECTIONS = {
    "versions": 10,
    "ceilings": 20,
    "kernel_parity": 60,
    "kernel_speeds": 50,
    "jpeg_decoding": 20,
    "descent_ways": 150,
    "correctness": 40,
    "out_of_memory": 20,
    "file_runs": 100,
}
"""Sections in order, and the seconds after which they begin nothing new."""
GRACE = 30.0
"""Seconds a section may take beyond its own: to start, and for what it has begun."""
LONGEST_REASON = 500


def main(
    output: Annotated[Path | None, typer.Option(help="JSON file (default: bench/results/gpu-NAME.json)")] = None,
    only: Annotated[str | None, typer.Option(help="sections with commas (default: all)")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Measure everything that only a GPU can show; writes one JSON file, again after every section."""
    chosen = only.split(",") if only else list(SECTIONS)
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        raise UnseeError(f"no section {', '.join(unknown)}: choose from {', '.join(SECTIONS)}")
    gpus = cuda_devices()
    place = ("cuda" if gpus else "cpu") if device == "auto" else device
    path = output or Path("bench/results") / f"gpu-{_file_name(gpus[0] if place == 'cuda' and gpus else 'none')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"benchmark": "gpu", "device": place, "sections": {}}
    for name in chosen:
        stderr().print(f"{name} ...")
        report["sections"][name] = run_section(name, place, SECTIONS[name])
        write_json(path, report)
    stdout().print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)


def run_section(name: str, device: str, seconds: float) -> dict[str, Any]:
    """Run a section in a process of its own; return its figures, its seconds, and why it ended where that was early."""
    started = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-m", f"{__package__}.gpu", "--section", name, device, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, complaint = process.communicate(timeout=seconds + GRACE)
        ended = {} if process.returncode == 0 else {"failed": _reason(complaint, process.returncode)}
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        ended = {"failed": f"stopped after {seconds + GRACE:.0f} seconds"}
    figures = dict(json.loads(line) for line in said.splitlines() if line.startswith('["'))
    return {**figures, **ended, "seconds": round(time.perf_counter() - started, 1)}


def section(name: str, device: str, seconds: float) -> None:
    """Measure a section here, and print each figure as a line of JSON as soon as it is known."""
    measure: Section = import_module(f".device.{name}", __package__).measure
    try:
        for figure in measure(Scale.of(device), Deadline(seconds)):
            print(json.dumps(figure), flush=True)
    except NeedsGpuError as error:
        print(json.dumps(("not_measured", str(error))), flush=True)


def _reason(complaint: str, code: int) -> str:
    return complaint.strip()[-LONGEST_REASON:] or f"exit code {code}"


def _file_name(gpu: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in gpu.lower()).split())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--section"]:
        section(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        typer.run(main)
