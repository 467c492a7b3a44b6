"""Runs the files of tests on CUDA in processes of their own: the simulator has to be chosen before numba is imported."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from unsee.kernels.device import THREADS

ROOT = Path(__file__).resolve().parents[1]


FILES = ["kernels_on_cuda.py", "maps_on_cuda.py", "cleanup_on_cuda.py"]
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}


def run_checks(files, environment, *words):
    """Run files side by side."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    options = {"cwd": ROOT, "env": {**os.environ, **environment}, "text": True}
    with ThreadPoolExecutor() as pool:
        run = partial(subprocess.run, capture_output=True, check=False, **options)
        for finished in pool.map(run, [[*command, f"tests/{file}"] for file in files]):
            assert finished.returncode == 0, finished.stdout[-8000:] + finished.stderr[-2000:]


def gpu_is_here():
    try:
        from numba import cuda
    except ImportError:
        return False
    return cuda.is_available()


def test_blocks_fit_the_arrays_that_they_share():
    assert THREADS <= 128


def test_kernels_under_the_simulator():
    """Without compilation: the simulator cannot pass its arrays to compiled helpers."""
    run_checks(FILES, SIMULATOR)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_photographs_and_what_takes_longer_under_the_simulator():
    run_checks(["photographs_on_cuda.py"], SIMULATOR)
    run_checks(["kernels_on_cuda.py", "maps_on_cuda.py"], SIMULATOR, "-m", "proof")


@pytest.mark.gpu
@pytest.mark.skipif(not gpu_is_here(), reason="no CUDA device here")
@pytest.mark.parametrize("file", [*FILES, "photographs_on_cuda.py"])
def test_kernels_on_a_gpu(file):
    run_checks([file], {}, "-m", "proof or not proof")
