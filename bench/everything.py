"""`unsee bench all`: every benchmark on small settings, kept in bench/results/ by machine, and the page made from them."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from ..errors import UnseeError
from ..files import write_bytes, write_json
from ..terminal import stderr
from .demo import save_photographs
from .speed.machine import machine

SECTIONS = ("quality", "descent", "pipeline", "distribution", "kernels")
"""Order of the benchmarks in the results and in the page."""
ABLATIONS = (
    "iterations=1,10 gamma=0,1 gradient=raw segments=0 low_level=false backend=onnxruntime precision=bf16".split()
)
"""Changes of the reference preset, a row each."""
SCENE_SIDE = 224


def small_settings(
    images: Path | None, masks: Path | None, models: list[str], limit: int
) -> dict[str, list[list[str]]]:
    """Return the options of every benchmark, by name: settings that end within minutes.

    images, masks: photographs with their masks; without them scores are of generated scenes, speeds of scikit-image's
    photographs. limit: images that models and peers are scored on; ablations take a quarter of them.
    """
    folder = str(images or save_photographs(Path(tempfile.mkdtemp()) / "photos"))
    if not (images and masks):
        images, masks = save_scenes(Path(tempfile.mkdtemp()) / "scenes", limit)
    common = ["--images", str(images), "--gt", str(masks)]
    first = ["--models", models[0], "--methods", "given"]
    changes = [option for change in ABLATIONS for option in ("--ablate", change)]
    return {
        "quality": [
            [*common, "--limit", str(limit), "--models", ",".join(models)],
            [*common, "--limit", str(limit), *first, "--peers", "all"],
            [*common, "--limit", str(max(limit // 4, 1)), *first, *changes],
        ],
        "descent": [["--model", model, "--batch-size", "8", "--rounds", "3", "--no-compiled"] for model in models],
        "pipeline": [["--images", folder, "--model", models[0], "--count", "64", "--rounds", "3"]],
        "distribution": [["--images", folder, "--shards", "2", "--samples", "64", "--rounds", "2"]],
        "kernels": [["--batch-size", "32", "--rounds", "5"]],
    }


def save_scenes(folder: Path, count: int) -> tuple[Path, Path]:
    """Write generated scenes and the masks of their objects as PNG files; return their two folders."""
    from ..train.data.scenes import BACKGROUND, scenes

    images, masks = folder / "images", folder / "masks"
    for path in (images, masks):
        path.mkdir(parents=True)
    for item in scenes(count, side=SCENE_SIDE).items:
        scene = item.read()
        Image.fromarray(scene.pixels).save(images / f"{item.key}.png")
        Image.fromarray(np.uint8(255) * (scene.objects != BACKGROUND)).save(masks / f"{item.key}.png")
    return images, masks


def run_benchmarks(
    arguments: dict[str, list[list[str]]], results: Path, page: Path, console: Console | None = None
) -> Path:
    """Run benchmarks, each in a process of its own, keep their last lines, and write the page anew.

    arguments: options of the runs of each benchmark; those not named keep their earlier results. results: folder of the
    JSON files. Returns the file of this machine. A benchmark that fails is left out and shown.
    """
    console = console or stderr()
    path = results / f"{machine_name()}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results.mkdir(parents=True, exist_ok=True)
    for name, runs in arguments.items():
        kept = [result for options in runs if (result := _last_line(name, options, console)) is not None]
        if kept:
            found[name] = kept
            write_json(path, found)
    write_bytes(page, benchmarks_page(results).encode())
    return path


def _last_line(name: str, options: list[str], console: Console) -> Any:
    """Run a benchmark and return what its last line says; None where it failed."""
    console.print(f"bench {name} {' '.join(options)}", markup=False, soft_wrap=True)
    command = [sys.executable, "-m", "unsee", "bench", name, *options]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        console.print(f"bench {name} ended with {ended.returncode}: its earlier result, if any, is kept")
        return None
    return json.loads(ended.stdout.strip().splitlines()[-1])


def machine_name() -> str:
    """Return a file name for this kind of machine: processor and cores."""
    about = machine()
    return re.sub(r"[^a-z0-9]+", "-", f"{about['processor']}-{about['cores']}-cores".lower()).strip("-")


def benchmarks_page(results: Path) -> str:
    """Return docs/benchmarks.md for every machine that has results."""
    parts = [
        "# Benchmarks",
        "Made by `unsee bench all` from `bench/results/`; not edited by hand. Ratios are medians over rounds in which both "
        "sides ran one after the other; single speeds depend on what else the machine did.",
    ]
    for path in sorted(results.glob("*.json")):
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise UnseeError(f"{path}: not a result file")
        sections = [_section(name, found[name]) for name in SECTIONS if name in found]
        if sections:  # other files are of measurements that have pages of their own
            parts += [f"## {path.stem}", *sections]
    return "\n\n".join(parts) + "\n"


def _section(name: str, runs: list[dict[str, Any]]) -> str:
    write = {"quality": _quality, "descent": _descent, "kernels": _kernels}.get(name, _figures)
    return "\n\n".join([f"### {name}", *(write(result) for result in runs)])


def _quality(result: dict[str, Any]) -> str:
    names = ("model", "method", "stage", "f_measure", "mae", "images", "images_per_second")
    rows = [[_number(row[name]) for name in names] for row in result["rows"]]
    table = _markdown(["model", "method", "stage", "F", "MAE", "images", "images/s"], rows)
    given = f"; `given` and its changes are of preset {result['given']}" if any(_is_given(row) for row in rows) else ""
    skipped = [f"Left out: {name}: {reason}" for name, reason in result["skipped"].items()]
    about = f"`{result['data']}`, protocol `{result['protocol']}`{given}; {_about(result)}."
    return "\n\n".join([about, table, *skipped])


def _is_given(row: list[str]) -> bool:
    return row[1] == "given" or "=" in row[1]


def _descent(result: dict[str, Any]) -> str:
    names = ("name", "milliseconds_per_iteration", "images_per_second", "ratio", "gflops", "share", "roofline_share")
    titles = ["session", "ms an iteration", "images/s", "plain / this", "GFLOP/s", "share of products", "of roofline"]
    rows = [[_number(session[name]) for name in (*names, "update_error")] for session in result["sessions"]]
    setting = f"{Path(result['model']).name}, batch {result['batch_size']}, {result['threads']} threads"
    return "\n\n".join(
        [f"{setting}; {_about(result)}.", _markdown([*titles, "update error"], rows), _roofline(result["roofline"])]
    )


def _roofline(found: dict[str, Any]) -> str:
    names = ("operator", "count", "gflop", "megabytes", "flop_per_byte", "bound", "floor_milliseconds")
    titles = ["operator", "number", "GFLOP", "MB", "FLOP a byte", "bound by", "least ms"]
    table = _markdown(titles, [[_number(row[name]) for name in names] for row in [*found["operators"], found]])
    return (
        f"Ceilings: {found['ceiling_gflops']:.0f} GFLOP/s in matrix products, "
        f"{found['ceiling_gigabytes_per_second']:.1f} GB/s in copies; they meet at {found['ridge_flop_per_byte']:.1f} "
        "operations a byte. An iteration by its graph, every operator reading and writing memory once, none fused:"
        f"\n\n{table}"
    )


def _kernels(result: dict[str, Any]) -> str:
    names = ("name", "peer", "milliseconds", "peer_milliseconds", "ratio", "goal")
    titles = ["kernel", "peer", "ms an image", "peer's", "peer / ours", "goal"]
    table = _markdown(titles, [[_number(row[name]) for name in names] for row in result["results"]])
    setting = f"Batch {result['batch_size']}, {result['size']}x{result['size']} pixels, {result['rounds']} rounds"
    return f"{setting}; {_about(result)}.\n\n{table}"


def _figures(result: dict[str, Any]) -> str:
    rows = []
    for name, value in result.items():
        if isinstance(value, dict) and name != "machine":
            rows += [
                [f"{name.replace('_', ' ')}: {part.replace('_', ' ')}", _number(one)] for part, one in value.items()
            ]
        elif name not in ("benchmark", "machine"):
            rows.append([name.replace("_", " "), _number(value)])
    return f"{_about(result)}.\n\n{_markdown(['figure', 'value'], rows)}"


def _about(result: dict[str, Any]) -> str:
    about = result["machine"]
    packages = ", ".join(f"{name} {about[name]}" for name in ("torch", "onnxruntime") if name in about)
    return f"{about['processor']}, {about['cores']} cores, {packages}, commit {about['commit'] or 'unknown'}"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"
    return "" if value is None else str(value)


def _markdown(titles: list[str], rows: list[list[Any]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
