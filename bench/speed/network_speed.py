"""`unsee bench network`: an ONNX network in bulk, from file to file, against the loop that rembg's users have.

Each round times both on the same photographs; ratios are of neighbours in time, medians over rounds. The last line printed
is JSON.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ...engine.inputs.sources import Sources
from ...engine.methods.method_config import MethodConfig
from ...engine.methods.methods import open_method
from ...engine.methods.models import open_descender
from ...engine.outputs.layout import Sharding
from ...engine.run_config import RunConfig
from ...errors import UnseeError
from ...export.wrapping.network_files import read_network
from ...extras import require
from ...terminal import stdout
from ...train.networks.maps.network_input import NetworkChoice
from .machine import machine
from .sample_networks import write_light_network, write_small_u2net
from .whole_runs import whole_run

GOAL = 1.5
SAMPLES = {"light": write_light_network, "small-u2net": write_small_u2net}
"""Networks of random weights, by name."""
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


@dataclass(frozen=True)
class NetworkBench:
    """images: a source of at least `count` photographs. network: an ONNX file of U-2-Net's form, or one of `SAMPLES`."""

    images: str
    network: str = "light"
    count: int = 64
    rounds: int = 5


def bench_network(bench: NetworkBench, console: Console | None = None) -> dict[str, Any]:
    """Compare speeds, print a table and one JSON line, and return what the line says: medians over rounds."""
    console = console or stdout()
    paths = [Path(member.path).resolve() for member in islice(Sources((bench.images,)).stream(), bench.count)]
    if not paths:
        raise UnseeError(f"{bench.images}: no photographs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write = SAMPLES.get(bench.network)
        network = write(folder / f"{bench.network}.onnx") if write else _given(bench.network)
        loop = PlainLoop(network)
        ours = _Ours(network, paths, folder)
        measured = [(loop.run(paths, folder), ours.run()) for _ in range(bench.rounds + 1)][1:]  # the first warms up
        report = _report(bench, network, paths, measured, ours)
    console.print(_table(report))
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return report


def _given(name: str) -> Path:
    """Return a file that the loop can run; `UnseeError` where it cannot."""
    if not Path(name).is_file():
        raise UnseeError(f"{name}: neither an ONNX file nor one of {', '.join(SAMPLES)}")
    image = read_network(Path(name)).image
    if None in image.sides or image.channels_last or image.type != "float32":
        raise UnseeError(f"{name}: the loop runs float32 [1,3,H,W] with H and W built in, as U-2-Net's files have them")
    return Path(name)


class PlainLoop:
    """Pillow, NumPy and ONNX Runtime, an image at a time, as rembg does it (its sessions/base.py and u2net.py)."""

    def __init__(self, network: Path) -> None:
        runtime: Any = require("onnxruntime", "cpu", "running a network")
        self.session = runtime.InferenceSession(str(network))
        self.input = self.session.get_inputs()[0]

    def run(self, paths: list[Path], folder: Path) -> dict[str, float]:
        """Write the map of every photograph; return seconds: of all, and within the network."""
        (folder / "plain").mkdir(exist_ok=True)
        within, started = 0.0, time.perf_counter()
        for path in paths:
            image = Image.open(path).convert("RGB")
            batch = self._batch(image)
            before = time.perf_counter()
            made = self.session.run(None, {self.input.name: batch})[0][:, 0]
            within += time.perf_counter() - before
            self._saved(np.squeeze(made), image, folder / "plain" / f"{path.stem}.png")
        return {"all": time.perf_counter() - started, "network": within}

    def _batch(self, image: Image.Image) -> np.ndarray:
        height, width = self.input.shape[2:]
        pixels = np.array(image.resize((width, height), Image.Resampling.LANCZOS))
        scaled = (pixels / max(np.max(pixels), 1e-6) - MEAN) / STD
        return scaled.transpose(2, 0, 1)[None].astype(np.float32)

    def _saved(self, made: np.ndarray, image: Image.Image, path: Path) -> None:
        low, high = made.min(), made.max()
        mask = Image.fromarray(((made - low) / (high - low) * 255).astype("uint8"))
        mask.resize(image.size, Image.Resampling.LANCZOS).save(path)


class _Ours:
    """The engine with the same network, opened once as the loop is."""

    def __init__(self, network: Path, paths: list[Path], folder: Path) -> None:
        self.folder, self.count = folder, len(paths)
        self.listing = folder / "photographs.txt"
        self.listing.write_text("\n".join(map(str, paths)))
        choice = NetworkChoice(like="u2netp")
        self.method = open_method(MethodConfig(model=str(network), method="network", network=choice), open_descender)
        self.network = str(network)

    def run(self) -> dict[str, float]:
        """Write the map of every photograph; return seconds: of all, and within the network."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            sources = Sources((str(self.listing),))
            config = RunConfig(
                sources, name, model=self.network, method="network", shards=Sharding(self.count), exact_decoding=True
            )
            run = whole_run(self.method, config)
            return {"all": run.seconds, "network": run.stage_seconds["descent"]}


def _report(
    bench: NetworkBench, network: Path, paths: list[Path], measured: list[tuple[dict, dict]], ours: _Ours
) -> dict[str, Any]:
    def speed(way: int, part: str) -> float:
        return round(len(paths) / median(one[way][part] for one in measured), 3)

    return {
        "benchmark": "network",
        "network": Path(bench.network).name,
        "megabytes": round(network.stat().st_size / 1e6, 2),
        "size": ours.method.info.resizing.sides or ours.method.info.input_size,
        "images": len(paths),
        "rounds": len(measured),
        "images_per_second": {"unsee": speed(1, "all"), "plain": speed(0, "all")},
        "network_alone": {"unsee": speed(1, "network"), "plain": speed(0, "network")},
        "over_plain": round(median(plain["all"] / own["all"] for plain, own in measured), 3),
        "over_plain_in_the_network": round(median(plain["network"] / own["network"] for plain, own in measured), 3),
        "over_plain_goal": GOAL,
        "machine": machine(),
    }


def _table(report: dict[str, Any]) -> Table:
    table = Table("figure", "unsee", "plain loop", "ratio", "goal")
    for what, ratio, goal in (
        ("images_per_second", "over_plain", f"{GOAL:g}"),
        ("network_alone", "over_plain_in_the_network", ""),
    ):
        speeds = report[what]
        figures = (speeds["unsee"], speeds["plain"], report[ratio])
        table.add_row(what.replace("_", " "), *(f"{figure:.2f}" for figure in figures), goal)
    return table
