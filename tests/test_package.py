"""The house: which rooms may import which, and what an installation without torch can do."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from unsee.tests.conftest import ROOT

NETWORKS = ("train.networks", "train.networks.libraries", "train.networks.maps")
ROOMS = {
    "kernels": {""},
    "train.networks.architectures": {""},
    "train.networks": {"", "train.networks.architectures"},
    "train.networks.libraries": {"", "train.networks"},
    "train.networks.maps": {"", "train.networks.architectures", "train.networks", "train.networks.libraries"},
    "train.data": {"", "train.networks"},
    "train.batches": {"", *NETWORKS, "train.data"},
    "train": {"", *NETWORKS, "train.networks.architectures", "train.data", "train.batches"},
    "train.students": {"", *NETWORKS, "train.data", "train.batches", "train"},
    "export.bundles": {"", *NETWORKS},
    "export.runtime": {"", *NETWORKS, "export.bundles"},
    "export.runtime.tensorrt": {"", "export.bundles", "export.runtime"},
    "export.runtime.pytorch": {"", "export.bundles", "export.runtime"},
    "export.parity": {"", "kernels", "export.bundles", "export.runtime"},
    "export.forms": {""},
    "export.graph": {
        "",
        *NETWORKS,
        "export.bundles",
        "export.runtime",
        "export.runtime.pytorch",
        "export.parity",
        "export.forms",
    },
    "export.library": {"", *NETWORKS, "export.bundles", "export.parity", "export.graph"},
    "export.wrapping": {
        "",
        *NETWORKS,
        "export.bundles",
        "export.runtime",
        "export.parity",
        "export.graph",
        "export.library",
    },
    "engine.remote": {""},
    "engine.workers": {""},
    "engine.decoding": {"", "kernels", "export.runtime"},
    "engine.inputs": {"", "kernels", "engine.remote", "engine.decoding"},
}
"""What each room may import of the others; "" is the root. Rooms below are open to those above as a whole."""
MODELS = {
    "kernels",
    *NETWORKS,
    "export.bundles",
    "export.runtime",
    "export.runtime.tensorrt",
    "export.runtime.pytorch",
    "export.parity",
    "export.graph",
    "export.library",
    "export.wrapping",
    "",
}
ROOMS["engine.cleanup"] = MODELS
ROOMS["engine.methods"] = MODELS | {"engine.cleanup"}
ROOMS["engine.segmentation"] = MODELS | {"engine.cleanup", "engine.decoding", "engine.methods"}
ROOMS["engine.outputs"] = {"", "engine.inputs", "engine.methods"}
ROOMS["engine.indexes"] = {"", "engine.inputs", "engine.outputs"}
ROOMS["engine.plans"] = {"", "engine.decoding", "engine.inputs", "engine.outputs", "engine.workers"}
ROOMS["engine.stores"] = {"", "train.networks", "engine.remote", "engine.workers", "engine.outputs"}
ROOMS["engine.shards"] = MODELS | {
    "engine",
    "engine.methods",
    "engine.outputs",
    "engine.plans",
    "engine.stores",
    "engine.workers",
}
ROOMS["engine.networks"] = MODELS | {"engine.cleanup", "engine.decoding", "engine.methods", "engine.inputs"}
ROOMS["engine.teaching"] = MODELS | {
    "train",
    "train.data",
    "train.students",
    "engine",
    "engine.cleanup",
    "engine.decoding",
    "engine.inputs",
    "engine.outputs",
}
ROOMS["engine"] = MODELS | {room for room in ROOMS if room.startswith("engine.")}
ROOMS["bench.scoring"] = {"", "kernels", "engine", *(room for room in ROOMS if room.startswith("engine."))}
ROOMS["bench.pages"] = ROOMS["bench.scoring"] - {"kernels"} | {"bench.scoring"}
ROOMS["bench.peers"] = MODELS | {"engine.cleanup", "engine.methods"}
ROOMS["bench.zoo"] = MODELS | {"bench.speed"}
ROOMS["bench.device"] = MODELS | {"engine", "engine.cleanup", "engine.decoding", "engine.methods", "bench.speed"}
ROOMS["bench.speed"] = set(ROOMS) - {"bench.pages"} | {""}
ROOMS["bench"] = set(ROOMS) | {""}
ROOMS["cli"] = set(ROOMS) | {""}

HEAVY = {"torch", "ray", "tensorrt", "onnx", "onnxscript", "onnxruntime", "skimage", "scipy", "matplotlib", "cv2"}
LIGHT_PACKAGES = ("kernels", "engine", "export/bundles", "export/parity", "cli")
"""Packages that run without the heavy ones: those are imported inside the functions that need them, if at all."""
LARGEST_ROOM = 13
"""Files of a room, its __init__ included."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def product() -> dict[str, Path]:
    """Every module of the product by its dotted name below the root."""
    rooms = [ROOT, *(ROOT / room.replace(".", "/") for room in ROOMS)]
    paths = [path for room in rooms for path in room.glob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def room_of(module: str) -> str:
    return module.rpartition(".")[0]


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Names of the project's modules that a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if not node.level:
            assert (node.module or "").split(".")[0] != "unsee", f"{name}: import inside the project must be relative"
            continue
        base = [*name.split(".")[: -node.level], *filter(None, (node.module or "").split("."))]
        for alias in node.names:
            longer = ".".join([*base, alias.name])
            found.add(longer if longer in known else ".".join(base))
    return found & known.keys()


def test_imports_point_one_way_and_never_in_a_circle():
    known = product()
    graph = {name: imported(name, path, known) for name, path in known.items()}
    for name, others in graph.items():
        allowed = ROOMS.get(room_of(name), set()) | {room_of(name)}
        if name != "__main__":
            wrong = {other for other in others if room_of(other) not in allowed}
            assert not wrong, f"{name} imports {wrong}"
    list(TopologicalSorter(graph).static_order())  # raises CycleError with the circle


def test_rooms_are_small_and_no_name_occurs_twice():
    known = product()
    names = Counter(path.name for path in known.values())
    assert [name for name, count in names.items() if count > 1] == []
    for room in ROOMS:
        files = list((ROOT / room.replace(".", "/")).glob("*.py"))
        assert room == "kernels" or len(files) <= LARGEST_ROOM, f"{room} has {len(files)} files"


def test_the_largest_room_is_under_15_percent_of_the_code():
    lines = Counter()
    for name, path in product().items():
        lines[room_of(name)] += len(path.read_text().splitlines())
    room, largest = lines.most_common(1)[0]
    assert largest < 0.15 * lines.total(), f"{room} has {largest} of {lines.total()} lines"


@pytest.mark.parametrize("package", LIGHT_PACKAGES)
def test_light_packages_import_heavy_ones_inside_functions_only(package):
    for path in modules(package):
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name.split(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {
            (node.module or "").split(".")[0] for node in top if isinstance(node, ast.ImportFrom) and not node.level
        }
        assert not names & HEAVY, f"{package}/{path.name} imports {names & HEAVY} when it is imported"


def test_every_package_is_listed_for_the_wheel():
    listed = (ROOT / "setup.cfg").read_text().split("packages =")[1].split("install_requires")[0].split()
    parents = {room.partition(".")[0] for room in ROOMS}
    assert sorted(listed) == sorted({"unsee", *(f"unsee.{room}" for room in {*ROOMS, *parents})})


def test_pyproject_is_three_lines():
    text = (ROOT / "pyproject.toml").read_text()
    assert len(text.splitlines()) == 3
    assert tomllib.loads(text)["build-system"]["build-backend"] == "setuptools.build_meta"


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_wheel_works_in_an_environment_without_torch(bare_venv, tmp_path):
    code = """
import importlib.util, pkgutil
import numpy as np
import unsee, unsee.kernels
assert importlib.util.find_spec("torch") is None
for module in pkgutil.iter_modules(unsee.kernels.__path__):
    importlib.import_module(f"unsee.kernels.{module.name}")
from unsee.kernels.slic import slic
assert slic(np.zeros((1, 20, 30, 3), np.uint8), segments=4).shape == (1, 20, 30)
"""
    subprocess.run([bare_venv, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_missing_extra_is_one_clear_line(bare_venv, tiny_model, photographs, tmp_path):
    command = [bare_venv, "-m", "unsee", "run", photographs, "--output-folder", tmp_path / "out", "--model", tiny_model]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 5
    assert "pip install 'unsee[train]'" in result.stderr
    assert "Traceback" not in result.stderr


IMPORT_WITHOUT_TORCH = """
import importlib, sys

ABSENT = {"torch", "onnx", "onnxscript", "onnxruntime", "ray", "jinja2", "matplotlib", "cv2", "skimage"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
NEEDS_TORCH = {
    "aot",
    "attribution_graphs",
    "eager",
    "forward",
    "layers",
    "onnx_writer",
    "operators",
    "step",
    "tracing",
}
"""Modules of `export.graph` that trace PyTorch's networks."""


def test_everything_on_the_path_of_a_bundle_imports_without_torch():
    rooms = {room for room in ROOMS if room.partition(".")[0] in ("engine", "kernels", "export", "cli")}
    rooms |= {"bench.scoring", "bench.pages"}
    left_out = {f"export.graph.{name}" for name in NEEDS_TORCH}
    left_out |= {name for name in product() if room_of(name) in ("export.forms", "export.runtime.pytorch")}
    left_out |= {"engine.teaching.teaching", "engine.teaching.student_lessons", "export.wrapping.module_networks"}
    left_out |= {
        f"export.library.{name}" for name in ("embedded", "embedded_maps", "shared_weights", "borrowed_weights")
    }
    names = [name for name in product() if room_of(name) in rooms and name not in left_out]
    names += ["train.networks.model_names", "train.networks.metadata", "train.networks.maps.mapper_metadata"]
    command = [sys.executable, "-c", IMPORT_WITHOUT_TORCH, *(f"unsee.{name}" for name in names)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
