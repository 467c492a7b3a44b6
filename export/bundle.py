"""Bundles: a directory that runs without PyTorch, checked before anything in it is used (design section 2)."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UnseeError
from ..files import sha256_of, write_json
from ..train.metadata import InputSpec, Label, read_labels
from .config import DescentConfig

SCHEMA = 1
BUNDLE_FILE = "bundle.json"
STEP_FILE = "step.onnx"
LABELS_FILE = "labels.json"
PROBE_FILE = "probe.npz"

GRAPH_CONSTANTS = ("cost", "gamma", "gradient", "gradient_floor", "clip")
"""What of a `DescentConfig` is written into the graph; the rest are inputs of the loop."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read and checked.

    model_id: as of the checkpoint it was made from. descent: the constants in its graph, and defaults of the loop.
    preset: the whole preset it was exported with, as JSON; the loop and the post-processing are its default.
    precision: that of the network's layers. opset, tensors: version of ONNX's operators, and name, type and shape of
    every input and output. versions: of the tools that made it. parity: the report of the export (see `parity`).
    """

    directory: Path
    model_id: str
    network: str
    input: InputSpec
    labels: tuple[Label, ...]
    descent: DescentConfig
    preset: dict[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    opset: int = 0
    tensors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def step_path(self) -> Path:
        """The ONNX file."""
        return self.directory / STEP_FILE


def is_bundle(model: str | Path) -> bool:
    """Say whether a path is a bundle's directory."""
    return (Path(model) / BUNDLE_FILE).is_file()


def write_bundle(bundle: Bundle) -> None:
    """Write bundle.json, last of a bundle's files: it holds the hashes of the others."""
    names = [STEP_FILE, LABELS_FILE, PROBE_FILE]
    description = {
        "schema": SCHEMA,
        "model_id": bundle.model_id,
        "network": bundle.network,
        "input": asdict(bundle.input),
        "classes": len(bundle.labels),
        "descent": descent_to_json(bundle.descent),
        "preset": bundle.preset,
        "precision": bundle.precision,
        "opset": bundle.opset,
        "tensors": bundle.tensors,
        "files": {name: _fingerprint(bundle.directory / name) for name in names},
        "versions": bundle.versions,
        "parity": bundle.parity,
    }
    write_json(bundle.directory / BUNDLE_FILE, description)


def read_bundle(directory: Path) -> Bundle:
    """Read and check a bundle: version, every file's size and SHA-256, no file outside the directory.

    Raises `UnseeError` saying what is wrong with a missing, damaged, truncated, changed or foreign bundle.
    """
    path = directory / BUNDLE_FILE
    value = _read_object(path)
    if value.get("schema") != SCHEMA:
        raise UnseeError(
            f"{path}: bundle version {value.get('schema')!r}, this unsee reads version {SCHEMA}: export it again"
        )
    try:
        _check_files(directory, value["files"])
        return Bundle(
            directory=directory,
            model_id=str(value["model_id"]),
            network=str(value["network"]),
            input=InputSpec.from_json(value["input"]),
            labels=read_labels(directory / LABELS_FILE, int(value["classes"])),
            descent=descent_from_json(value["descent"]),
            preset=dict(value["preset"]),
            precision=str(value["precision"]),
            opset=int(value["opset"]),
            tensors=dict(value["tensors"]),
            versions=dict(value["versions"]),
            parity=dict(value["parity"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnseeError(f"{path}: not a bundle description ({type(error).__name__}: {error})") from None


def check_constants(bundle: Bundle, config: DescentConfig) -> None:
    """Raise `UnseeError` naming every constant of the graph that a configuration wants otherwise."""
    differences = [
        f"{name} is {getattr(bundle.descent, name)!r}, not {getattr(config, name)!r}"
        for name in GRAPH_CONSTANTS
        if getattr(bundle.descent, name) != getattr(config, name)
    ]
    if differences:
        raise UnseeError(
            f"{bundle.directory}: the bundle's graph was exported with other constants ({'; '.join(differences)}): "
            "use its preset, or export the model again with these"
        )


def descent_to_json(config: DescentConfig) -> dict[str, Any]:
    """Return a configuration as JSON; an infinite floor becomes a string, for JSON has no infinity."""
    return {
        name: str(value) if isinstance(value, float) and math.isinf(value) else value
        for name, value in asdict(config).items()
    }


def descent_from_json(value: dict[str, Any]) -> DescentConfig:
    """Return the configuration that `descent_to_json` wrote."""
    return DescentConfig(**{**value, "gradient_floor": float(value["gradient_floor"])})


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UnseeError(f"{path}: damaged, not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UnseeError(f"{path}: not a bundle description, but a JSON {type(value).__name__}")
    return value


def _check_files(directory: Path, files: dict[str, dict[str, Any]]) -> None:
    for name in (STEP_FILE, LABELS_FILE, PROBE_FILE):
        if name not in files:
            raise UnseeError(f"{directory / BUNDLE_FILE}: does not list {name}")
    for name, expected in files.items():
        path = _inside(directory, name)
        if not path.is_file():
            raise UnseeError(f"{path}: missing from the bundle")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise UnseeError(f"{path}: truncated or changed: {size} bytes instead of {expected['bytes']}")
        if sha256_of(path) != expected["sha256"]:
            raise UnseeError(f"{path}: damaged or changed: its SHA-256 is not the one in {BUNDLE_FILE}")


def _inside(directory: Path, name: str) -> Path:
    """Return the path of a bundle's file; one that leads out of the directory, by links too, is an error."""
    path = directory / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(directory.resolve()):
        raise UnseeError(f"{directory / BUNDLE_FILE}: lists {name!r}, which is outside the bundle")
    return path


def bundled_preset(model: str | Path) -> dict[str, Any] | None:
    """Return the preset, as JSON, that a bundle was exported with; None where `model` is no bundle or it has none.

    Files are not checked here: `read_bundle` does that before anything of the bundle runs.
    """
    if not is_bundle(model):
        return None
    preset = _read_object(Path(model) / BUNDLE_FILE).get("preset")
    return preset if isinstance(preset, dict) and preset else None
