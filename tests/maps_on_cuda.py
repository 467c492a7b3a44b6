"""Checks of what makes finished maps on a CUDA device, run by test_kernels_cuda.py in a process of its own: under numba's
simulator or on a GPU.

Blocks of 8 threads on small, ragged images make the last block of every launch a partial one.
"""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unsee.bench.scoring.evaluate import evaluate
from unsee.bench.scoring.scored_files import EvaluationConfig
from unsee.engine.cleanup.postprocess import finish
from unsee.engine.cleanup.presets import PRESETS
from unsee.kernels.change import raw_maps
from unsee.kernels.device import to_device, to_host
from unsee.kernels.eight_bits import to_levels
from unsee.kernels.morphology import dilate, erode
from unsee.kernels.pooling import (
    count_labels,
    paint,
    rescaled,
    single_row,
    superpixel_statistics,
    superpixel_values,
    weighed,
)
from unsee.kernels.prune import (
    brighten,
    min_max,
    normalize,
    otsu_threshold,
    prune_hard,
    prune_share,
    prune_soft,
    sigmoid,
)
from unsee.kernels.resampling import SUPPORT
from unsee.kernels.resampling_on_device import Resize, resized_images
from unsee.kernels.workspace import Workspace
from unsee.tests.cuda_simulator import on_device, simulator, tiny_blocks  # noqa: F401

SHAPES = [(3, 7, 9), (2, 23, 31), (2, 13, 1), (1, 1, 11), (0, 4, 5)]
WITHOUT_SUPERPIXELS = [name for name, preset in PRESETS.items() if not preset.post.segments]


def maps_of(shape, odd=True):
    """Maps with values that are no numbers; the last ones are constant and zero where there are several."""
    maps = np.random.default_rng(1).gamma(2, 0.2, shape).astype(np.float32) - np.float32(0.1)
    if len(maps) > 1:
        maps[-1] = 0.3
    if len(maps) > 2:
        maps[-2] = 0
    if odd and maps.size:
        maps[0, -1, -1] = np.nan
    return maps


def equal(found, expected):
    """The same values, to the bit but for the sign of zero."""
    np.testing.assert_array_equal(found.copy_to_host(), expected)
    assert found.dtype == expected.dtype


def close(found, expected):
    np.testing.assert_allclose(found.copy_to_host(), expected, rtol=1e-6, atol=1e-6)
    assert found.dtype == expected.dtype


def alone_equals_together(function, *arrays):
    """Each image by itself gives the bits that it has in the batch."""
    together = function(*(on_device(array) for array in arrays)).copy_to_host()
    for image in range(len(together)):
        one = function(*(on_device(array[image : image + 1]) for array in arrays)).copy_to_host()[0]
        np.testing.assert_array_equal(one, together[image])


@pytest.mark.parametrize("normalize_channels", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_raw_maps(shape, normalize_channels):
    count, height, width = shape
    delta = np.random.default_rng(2).normal(0, 3, (count, 3, height, width)).astype(np.float32)
    if count > 1:
        delta[1, 2, 0, 0] = np.inf
    if count > 2:
        delta[2, 1] = 5  # a constant channel
    for found, expected in zip(
        raw_maps(on_device(delta), normalize_channels), raw_maps(delta, normalize_channels), strict=True
    ):
        equal(found, expected)


def test_raw_maps_of_special_differences():
    delta = np.zeros((4, 3, 5, 3), np.float32)
    delta[1, 0, 2, 2] = np.nan
    delta[2] = -2
    delta[3, :, 0, 0] = -1
    for found, expected in zip(raw_maps(on_device(delta), False), raw_maps(delta, False), strict=True):
        equal(found, expected)
    alone_equals_together(lambda one: raw_maps(one, True)[0], delta)


@pytest.mark.parametrize("shape", SHAPES)
def test_normalizations(shape):
    maps = maps_of(shape)
    for mode in ("linf", "minmax"):
        equal(normalize(on_device(maps), mode), normalize(maps, mode))
    for mode in ("l2", "l1"):
        close(normalize(on_device(maps), mode), normalize(maps, mode))
    alone_equals_together(lambda one: normalize(one, "l2"), maps)


@pytest.mark.parametrize("shape", SHAPES)
def test_otsu_and_prunings(shape):
    maps = maps_of(shape)
    if maps.size > 4:
        maps[0, 0, 0] = np.inf
    with np.errstate(over="ignore"):
        for one in (maps, maps_of(shape), -abs(maps)):
            there = on_device(one)
            equal(otsu_threshold(there), otsu_threshold(one))
            equal(prune_hard(there), prune_hard(one))
            equal(prune_share(there, 0.1), prune_share(one, 0.1))
            equal(prune_soft(there, 0.3), prune_soft(one, 0.3))
    theta = np.linspace(0, 0.4, len(maps)).astype(np.float32)
    equal(prune_soft(on_device(maps), theta), prune_soft(maps, theta))
    equal(prune_soft(on_device(maps), on_device(theta)), prune_soft(maps, theta))


@pytest.mark.parametrize("shape", SHAPES)
def test_last_steps(shape):
    maps = min_max(maps_of(shape))
    there = on_device(maps)
    equal(brighten(there, 1.7, 0.2), brighten(maps, 1.7, 0.2))
    equal(brighten(on_device(maps_of(shape)), 1.7, 0.2), brighten(maps_of(shape), 1.7, 0.2))
    with np.errstate(over="ignore"):
        for steepness in (15.0, 1e4):
            close(sigmoid(there, steepness, 0.6), sigmoid(maps, steepness, 0.6))
    equal(to_levels(there), to_levels(maps))


def test_levels_round_halves_to_even_and_cut():
    values = np.array([-1, -np.inf, np.nan, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.5, 1, 3, np.inf])
    values = np.concatenate((values, (np.arange(255) + 0.5) / 255)).astype(np.float32)
    for shape in ((-1,), (1, 1, -1)):
        equal(to_levels(on_device(values.reshape(shape))), to_levels(values.reshape(shape)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("element", ["square", "disk"])
def test_morphology(shape, element):
    maps = maps_of(shape)
    for radius in (0, 1, 4):
        equal(dilate(on_device(maps), radius, element), dilate(maps, radius, element))
        equal(erode(on_device(maps), radius, element), erode(maps, radius, element))


@pytest.mark.parametrize("shape", SHAPES)
def test_superpixels(shape):
    maps, labels = maps_of(shape), np.random.default_rng(3).integers(0, 5, shape, dtype=np.int32)
    there, labels_there = on_device(maps), on_device(labels)
    count = count_labels(labels)
    assert count_labels(labels_there) == count
    for known in (None, count, count + 2):
        values = superpixel_values(maps, labels, known)
        equal(superpixel_values(there, labels_there, known), values)
        equal(paint(on_device(values), labels_there, known), paint(values, labels, known))
    weights = np.random.default_rng(4).random(values.shape)
    found = weighed(there, on_device(weights), labels_there, 0.2, count)
    equal(found, weighed(maps, weights, labels, 0.2, count))
    equal(single_row(on_device(weights)), single_row(weights))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rescaled(dtype):
    rng = np.random.default_rng(5)
    values, present = rng.random((4, 19)).astype(dtype), rng.random((4, 19)) < 0.7
    values[1] = 0.4
    present[2] = False
    equal(rescaled(on_device(values), on_device(present)), rescaled(values, present))


def test_a_known_count_spares_the_download(monkeypatch):
    monkeypatch.setattr("unsee.kernels.pooling.count_labels_cuda", None)
    maps, labels = on_device(maps_of((2, 3, 5))), on_device(np.zeros((2, 3, 5), np.int32))
    values = superpixel_values(maps, labels, 1)
    paint(values, labels, 1)
    weighed(maps, values, labels, 0.2, 1)
    superpixel_statistics(on_device(np.zeros((2, 3, 5, 3), np.float32)), labels, 1)


@pytest.mark.parametrize("resample", SUPPORT)
def test_resizing(resample):
    sizes = [((9, 7), (13, 20)), ((9, 7), (4, 3)), ((5, 9), (5, 9)), ((1, 8), (1, 30)), ((21, 2), (17, 1))]
    resizes = [Resize(*size, down_first=bool(place % 2)) for place, size in enumerate(sizes)]
    levels = np.random.default_rng(6).integers(0, 256, sum(height * width for (height, width), _ in sizes), np.uint8)
    for each in (levels, np.where(levels > 127, 255, 0).astype(np.uint8)):
        equal(
            resized_images(on_device(each), resizes, resample=resample),
            resized_images(each, resizes, resample=resample),
        )
    pixels = [Resize((9, 7), (13, 20), False), Resize((5, 2), (3, 4), True)]
    planes = np.random.default_rng(7).integers(0, 256, 3 * (63 + 10), np.uint8)
    equal(resized_images(on_device(planes), pixels, 3, resample), resized_images(planes, pixels, 3, resample))
    assert resized_images(on_device(levels[:0]), []).shape == (0,)
    with pytest.raises(ValueError, match="planes must be uint8"):
        resized_images(on_device(levels[1:]), resizes, resample=resample)


def differences(shape=(3, 24, 30)):
    """Differences and photographs of blocks of colour; the second one diverged, the third did not change."""
    rng = np.random.default_rng(7)
    count, height, width = shape
    images = rng.integers(0, 256, (count, 5, 6, 3), np.uint8).repeat(6, 1).repeat(6, 2)[:, :height, :width]
    delta = rng.random((count, 3, height, width), np.float32) * (images.transpose(0, 3, 1, 2) > 128)
    delta[1, 0, 3, 4] = np.nan
    delta[2] = 0
    return delta, images


@pytest.mark.parametrize(  # all presets: photographs_on_cuda.py
    "name", ["best", *(pytest.param(name, marks=pytest.mark.proof) for name in WITHOUT_SUPERPIXELS)]
)
def test_finished_maps(name):
    config = replace(PRESETS[name].post, segments=min(PRESETS[name].post.segments, 7))
    if config.closing:
        config = replace(config, closing=20)
    delta, images = differences((3, 13, 17) if config.segments else (3, 23, 31))
    expected, found = finish(delta, images, config), finish(on_device(delta), on_device(images), config)
    for stage in ("raw", "pruned", "smoothed", "final", "magnitude"):
        close(getattr(found, stage), getattr(expected, stage))
    np.testing.assert_array_equal(found.diverged.copy_to_host(), expected.diverged)
    assert found.diverged.copy_to_host().tolist() == [False, True, False]


@pytest.mark.proof
@pytest.mark.parametrize("name", WITHOUT_SUPERPIXELS)
def test_batch_mates_do_not_matter(name):
    delta, images = differences()
    alone_equals_together(lambda one, image: finish(one, image, PRESETS[name].post).final, delta, images)


@pytest.mark.parametrize("name", WITHOUT_SUPERPIXELS)
def test_nothing_to_finish(name):
    delta, images = np.zeros((0, 3, 4, 5), np.float32), np.zeros((0, 4, 5, 3), np.uint8)
    assert finish(on_device(delta), on_device(images), PRESETS[name].post).final.shape == (0, 4, 5)


def test_scores_do_not_depend_on_the_device(tmp_path):
    rng = np.random.default_rng(8)
    for folder in ("maps", "masks"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            pixels = rng.integers(0, 256, (7 + index, 9), np.uint8)
            Image.fromarray(pixels if folder == "maps" else np.where(pixels > 127, 255, 0).astype(np.uint8)).save(
                tmp_path / folder / f"{index}.png"
            )
    scores = [
        evaluate(tmp_path / "maps", tmp_path / "masks", EvaluationConfig(device=device, workers=2)).as_json()
        for device in ("cpu", "cuda", "auto")
    ]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("name", ["a-paper", "best"])
def test_the_second_batch_allocates_nothing(name):
    """And gives what it gives without a workspace."""
    config = replace(PRESETS[name].post, segments=min(PRESETS[name].post.segments, 4))
    workspace, allocated = Workspace(), []
    delta, images = (array[:2] for array in differences((3, 7, 9)))
    for sizes in ([(9, 11), (3, 5)], [(10, 10), (2, 7)]):
        with workspace.batch():
            levels = to_levels(finish(to_device(delta), to_device(images), config).final)
            flat = levels.reshape(levels.size)
            resizes = [Resize(levels.shape[1:], size, False) for size in sizes]
            found = to_host(resized_images(flat, resizes))
        allocated.append(workspace.allocations)
    assert allocated[1] == allocated[0] > 10
    levels = to_levels(finish(on_device(delta), on_device(images), config).final)
    equal(resized_images(levels.reshape(levels.size), resizes), found)
