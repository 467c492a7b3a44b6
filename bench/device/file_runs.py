"""`unsee run` from files to files, finishing and decoding on the CPU and on the GPU: speed, stages, how busy the GPU is."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...engine.status import summarize
from .scale import Deadline, Found, Scale

MODELS = (("unsee-small", ("--preset", "best")), ("vgg16", ("--preset", "reference", "--iterations", "10")))
WAYS = {
    "device": ("--cleanup", "device"),
    "nvjpeg": ("--cleanup", "device", "--decoder", "nvjpeg"),
    "cpu": ("--cleanup", "cpu"),
}
"""Where maps are finished, and JPEGs decoded."""
SHAPES = 12


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield a row for each way that there is time for."""
    with tempfile.TemporaryDirectory(prefix="unsee-gpu-") as name:
        photographs = Path(name) / "photographs"
        write_photographs(photographs, scale.images, *scale.image_sides)
        yield "images", scale.images
        for model, words in MODELS[: 2 if scale.on_gpu else 1]:
            for way in WAYS if scale.on_gpu else ("cpu",):
                if deadline.left <= 0:
                    return
                output = Path(name) / f"{model}-{way}"
                options = (*words, *WAYS[way], "--model", model, "--device", scale.device)
                yield f"{model} {way}", _timed_run(photographs, output, options, deadline)


def write_photographs(folder: Path, count: int, width: int, height: int) -> None:
    """Write JPEGs of ellipses on smooth backgrounds with noise, which compress and segment about as photographs do."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for number in range(count):
        pixels = np.empty((height, width, 3), np.float32)
        pixels[:] = generator.random(3) * 255
        pixels += (rows[..., None] / height) * (generator.random(3) * 120 - 60)
        for _ in range(int(generator.integers(1, SHAPES))):
            center, radii = generator.random(2) * (height, width), (0.05 + 0.25 * generator.random(2)) * (height, width)
            inside = ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 < 1
            pixels[inside] = generator.random(3) * 255
        pixels += generator.normal(0, 12, (height, width, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=88)


def _timed_run(photographs: Path, output: Path, options: tuple[str, ...], deadline: Deadline) -> dict[str, Any]:
    command = [sys.executable, "-m", "unsee", "run", str(photographs), "--output-folder", str(output), *options]
    started = time.perf_counter()
    with Utilisation() as busy:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=max(30.0, 2 * deadline.left),
            env=_environment(),
        )
    seconds = time.perf_counter() - started
    if done.returncode:
        return {
            "failed": done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else f"exit {done.returncode}"
        }
    summary = summarize(output)
    return {
        "images_per_second": round(summary.rate, 1),
        "with_start": round(summary.count / seconds, 1),
        "failed_images": summary.failed,
        "stage_seconds": {stage: round(spent, 2) for stage, spent in summary.stage_seconds.items()},
        "busy_percent": busy.median,
        "said": next((line for line in done.stderr.splitlines() if line.startswith("model ")), ""),
    }


def _environment() -> dict[str, str]:
    """Return variables under which the command finds this package from any folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Utilisation:
    """Asks nvidia-smi once a second how busy the GPU is, for as long as the block lasts."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def median(self) -> int | None:
        """The median in percent; None where nothing could be asked."""
        return sorted(self.seen)[len(self.seen) // 2] if self.seen else None

    def __enter__(self) -> "Utilisation":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        while not self.over.wait(1.0):
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout
                self.seen.append(int(json.loads(said.strip() or "0")))
            except (OSError, subprocess.SubprocessError, ValueError):
                return
