"""Fixtures: photographs, a tiny classifier, and the data beside the project where there is any."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsee.tests.corpus import write_tiny_model

ROOT = Path(__file__).parents[1]

# Tiny networks gain nothing from threads, and on a busy machine threads that wait for each other take minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests cache out of the user's cache directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and data beside the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of real models and data (../shared) is not here")
    return folder


@pytest.fixture(scope="session")
def squeezenet(shared: Path) -> Path:
    """The real SqueezeNet 1.1 checkpoint."""
    return shared / "models/squeezenet1_1"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of SqueezeNet's shape with random weights, 7 classes and 48x48 input."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 small pictures of different sizes, two of them in a sub-folder."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "more").mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        blocks = random.integers(0, 255, (4, 5, 3), np.uint8)
        picture = Image.fromarray(blocks).resize((40 + 7 * number, 61 - 3 * number), Image.Resampling.NEAREST)
        picture.save(folder / ("more" if number > 9 else "") / f"{number:02d}.{'png' if number % 2 else 'jpg'}")
    return folder


@pytest.fixture(scope="session")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the project's wheel and its `cpu` extra: no torch. The wheel lies beside it."""
    return made_once(tmp_path_factory, "wheel", _make_bare_venv) / "venv/bin/python"


def _make_bare_venv(folder: Path) -> None:
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}}
    # A copy, so that no earlier build's files get into the wheel.
    source = shutil.copytree(
        ROOT, folder / "source", ignore=shutil.ignore_patterns(".*", "build", "demo", "*.egg-info")
    )
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source], **quiet)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], **quiet)
    (wheel,) = folder.glob("unsee-*.whl")
    python = folder / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[cpu]"]
    subprocess.run(install, **quiet)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier as a bundle, which ONNX Runtime opens faster than PyTorch does a checkpoint."""

    def export(folder: Path) -> None:
        command = [Path(sys.executable).parent / "unsee", "export", tiny_model, folder / "tiny", "--iterations", "1"]
        subprocess.run(command, check=True, capture_output=True)

    return made_once(tmp_path_factory, "bundle", export) / "tiny"


def _common_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that one of the processes which share the tests has made for all of them."""
    base = _common_folder(factory)
    done = base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(base / name, ignore_errors=True)
            (base / name).mkdir()
            make(base / name)
            done.touch()
    return base / name


@pytest.fixture(autouse=True)
def one_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests that use Ray apart, whichever processes run them: there is one cluster at a time."""
    if request.node.get_closest_marker("ray") is None:
        yield
        return
    with (_common_folder(tmp_path_factory) / "ray.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
