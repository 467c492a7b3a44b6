"""The house: which packages may import which, and what an installation without torch can do."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from unsee.tests.conftest import ROOT

ROOT_MODULES = {
    "errors",
    "extras",
    "files",
    "formats",
    "images",
    "jpeg",
    "names",
    "png",
    "quiet",
    "signatures",
    "terminal",
    "threads",
}
COMMAND_MODULES = {"bench": {"options"}, "train": set()}
"""Root modules that a package's commands.py may import besides."""

ALLOWED = {
    "kernels": set(),
    "train": set(),
    "export": {"train"},
    "engine": {"train", "export", "kernels"},
    "bench": {"train", "export", "kernels", "engine"},
}
"""What each package may import of the others (design: imports point one way)."""

HEAVY = {"torch", "ray", "tensorrt", "onnx", "onnxscript", "onnxruntime", "skimage", "scipy", "matplotlib", "cv2"}
LIGHT_PACKAGES = ("kernels", "engine")
"""Packages that run without the heavy ones: those are imported inside the functions that need them, if at all."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """Names of the project's own packages and root modules that a module imports, at any depth."""
    found = set()
    levels = len(path.relative_to(ROOT).parts)  # dots that lead out of the package, or out of one inside it
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == levels:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unsee"):
            raise AssertionError(f"{path.name}: import inside the project must be relative")
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    for path in modules(package):
        extra = COMMAND_MODULES.get(package, set()) if path.name == "commands.py" else set()
        wrong = imported_packages(path) - ALLOWED[package] - ROOT_MODULES - extra
        assert not wrong, f"{package}/{path.name} imports {wrong}"


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
    found = [
        path.parent.relative_to(ROOT).parts for depth in ("*", "*/*") for path in ROOT.glob(f"{depth}/__init__.py")
    ]
    folders = {".".join(["unsee", *parts]) for parts in found if parts[0] in ALLOWED}
    assert folders <= set(listed)


def test_pyproject_is_three_lines():
    text = (ROOT / "pyproject.toml").read_text()
    assert len(text.splitlines()) == 3
    assert tomllib.loads(text)["build-system"]["build-backend"] == "setuptools.build_meta"


@pytest.mark.slow
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


@pytest.mark.slow
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
GRAPH_MODULES = {"adjoints", "descent", "folding", "graph", "onnx", "operators", "pool_adjoints", "rewrites"}
GRAPH_MODULES |= {"torch_session", "torch_map_session"}
"""Modules of `export` that trace PyTorch's networks."""


def test_everything_on_the_path_of_a_bundle_imports_without_torch():
    names = [
        f"unsee.{package}.{path.stem}" for package in ("engine", "kernels") for path in (ROOT / package).glob("*.py")
    ]
    names += [f"unsee.export.{path.stem}" for path in (ROOT / "export").glob("*.py") if path.stem not in GRAPH_MODULES]
    names += [
        "unsee.__main__",
        "unsee.train.networks.model_names",
        "unsee.train.networks.metadata",
        "unsee.bench.scoring.evaluate",
        "unsee.bench.pages.run_page",
    ]
    command = [sys.executable, "-c", IMPORT_WITHOUT_TORCH, *(name.removesuffix(".__init__") for name in names)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
