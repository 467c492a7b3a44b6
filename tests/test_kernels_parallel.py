"""Kernels on several threads, after a fork, and without a folder for numba's cache."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from unsee.kernels.color import rgb_to_lab
from unsee.kernels.contrast import low_level_map
from unsee.kernels.pooling import paint, superpixel_mean, superpixel_statistics
from unsee.kernels.slic import slic

IMAGES = np.random.default_rng(6).integers(0, 256, (9, 40, 33, 3), dtype=np.uint8)


def whole(images):
    lab, labels = rgb_to_lab(images), slic(images, segments=15)
    weight = paint(low_level_map(superpixel_statistics(lab, labels)), labels)
    return superpixel_mean(lab[..., 0] * weight, labels)


def test_calls_from_several_threads_agree():
    expected = whole(IMAGES)
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(whole, [IMAGES] * 24):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("threads", [1, 2, 5, 64])
def test_the_number_of_threads_changes_nothing(threads, monkeypatch):
    expected = whole(IMAGES)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 64)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    np.testing.assert_array_equal(whole(IMAGES), expected)


def test_works_after_a_fork():
    expected = whole(IMAGES)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply_async(whole, (IMAGES,)).get(timeout=60), expected)


def test_works_where_nothing_can_be_cached():
    program = (
        "import numba.core.caching as caching; caching.CompileResultCacheImpl._locator_classes = [];"
        "import numpy as np; from unsee.kernels.prune import min_max;"
        "print(min_max(np.float32([[[1, 3, 2]]])).tolist())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[[[0.0, 1.0, 0.5]]]"


def test_importing_and_running_needs_neither_cuda_nor_torch():
    program = (
        "import sys, numpy as np; from unsee.kernels.slic import slic; slic(np.zeros((1, 8, 8, 3), np.uint8));"
        "print([name for name in ('numba.cuda', 'torch', 'skimage') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
