"""TensorRT plans beside a bundle: files that fit one GPU, one TensorRT, one batch size, and say so in a sidecar."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from ....errors import UnseeError
from ....files import sha256_of, write_bytes, write_json
from ...bundles.bundle import Bundle, Contents


@dataclass(frozen=True)
class PlanKey:
    """What a plan depends on: a plan is used only where all of it is the same.

    gpu: the device's name. tensorrt: its version. precision: fp32, tf32 or fp16. batch_size: the only one it runs.
    graph: name of the bundle's ONNX file without its suffix. graph_sha256: of the file.
    """

    gpu: str
    tensorrt: str
    precision: str
    batch_size: int
    graph: str
    graph_sha256: str

    def path(self, directory: Path) -> Path:
        """Return the plan's path in a bundle: <graph>.<gpu>-<precision>-batch<n>.plan."""
        gpu = re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-")
        return directory / f"{self.graph}.{gpu}-{self.precision}-batch{self.batch_size}.plan"


def plan_key(bundle: Bundle[Contents], gpu: str, tensorrt: str, precision: str, batch_size: int) -> PlanKey:
    """Return the key of a bundle's plan; half precision is the bundle's own, fp32 and tf32 are chosen on the box."""
    if bundle.precision != "fp32" and precision != bundle.precision:
        raise UnseeError(f"{bundle.directory} was exported in {bundle.precision}: its plan cannot be {precision}")
    if bundle.precision == "fp32" and precision not in ("fp32", "tf32"):
        raise UnseeError(f"a plan in {precision} needs a bundle exported with --precision {precision}")
    return PlanKey(gpu, tensorrt, precision, batch_size, bundle.graph_path.stem, sha256_of(bundle.graph_path))


def write_plan(directory: Path, key: PlanKey, plan: bytes) -> Path:
    """Write a plan and its sidecar, which is written last."""
    path = key.path(directory)
    write_bytes(path, plan)
    write_json(_sidecar(path), {**asdict(key), "sha256": sha256_of(path)})
    return path


def read_plan(directory: Path, key: PlanKey) -> bytes | None:
    """Return the plan built for exactly this key, or None where it has to be built (anew).

    Raises `UnseeError` where a plan that claims to fit is damaged: it is machine code and is not run.
    """
    path = key.path(directory)
    try:
        described = json.loads(_sidecar(path).read_text())
        plan = path.read_bytes()
    except (OSError, ValueError):
        return None
    if {name: described.get(name) for name in asdict(key)} != asdict(key):
        return None
    if sha256_of(path) != described.get("sha256"):
        raise UnseeError(f"{path}: damaged or changed: remove it and it will be built again")
    return plan


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
