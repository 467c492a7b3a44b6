"""Checks of the CUDA kernels, run by test_kernels_cuda.py in a process of its own: under numba's simulator or on a GPU.

Blocks of 8 threads on small, ragged images make the last block of every launch a partial one.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cuda

from unsee.bench.speed.cuda_kernels import cuda_speeds
from unsee.kernels import background_on_device, device, pooling, slic
from unsee.kernels.background import background_weight, optimum
from unsee.kernels.color import rgb_to_lab
from unsee.kernels.connectivity import enforce_connectivity
from unsee.kernels.contrast import color_distribution, global_contrast, low_level_map, smooth_in_color_space
from unsee.kernels.pooling import SuperpixelStatistics, paint, superpixel_mean, superpixel_statistics
from unsee.kernels.region_graph import RegionGraph, color_distances, on_border, touching
from unsee.kernels.slic import SMALLEST_SHARE, grid_seeds, slic_lab
from unsee.kernels.sweep import joint_histogram
from unsee.kernels.workspace import Workspace, constant, current_stream, current_workspace, follow
from unsee.tests import naive
from unsee.tests.cuda_simulator import on_device, simulated, simulator, tiny_blocks  # noqa: F401

SHAPES = [(2, 11, 17), (1, 19, 1), (1, 1, 13), (2, 9, 8)]


def address(array):
    return array.__array_interface__["data"][0] if simulated() else array.device_ctypes_pointer.value


def images_of(shape, seed=0):
    """Blocks of colour with noise; the last image is constant where there are several."""
    rng = np.random.default_rng(seed)
    count, height, width = shape
    blocks = rng.integers(0, 240, (count, height // 4 + 1, width // 4 + 1, 3))
    images = blocks.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width] + rng.integers(0, 16, (*shape, 3))
    if count > 1:
        images[-1] = 77
    return images.astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_lab(shape):
    images = images_of(shape)
    lab = rgb_to_lab(on_device(images)).copy_to_host()
    np.testing.assert_allclose(lab, naive.rgb_to_lab(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(lab, rgb_to_lab(images), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_slic(shape):
    lab = naive.rgb_to_lab(images_of(shape)).astype(np.float32)
    lab[0, :2, :3] = np.nan
    labels = slic_lab(on_device(lab), segments=5).copy_to_host()
    seeds, step = grid_seeds(*shape[1:], 5)
    smallest = int(shape[1] * shape[2] / 5 * SMALLEST_SHARE)
    expected = [naive.slic(image, seeds, step, 10.0, smallest) for image in lab]
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.proof
def test_slic_looks_at_centres_by_chunks():
    """More centres than a block has threads, equal to the CPU's to the bit; the same alone and beside others."""
    lab = naive.rgb_to_lab(images_of((1, 23, 31))).astype(np.float32)
    labels = slic_lab(on_device(lab), segments=30).copy_to_host()
    np.testing.assert_array_equal(labels, slic_lab(lab, segments=30))
    assert len(grid_seeds(23, 31, 30)[0]) > slic.TILE**2


@pytest.mark.parametrize("smallest", [0, 2, 6, 500])
def test_connectivity(smallest):
    labels = np.random.default_rng(1).integers(0, 3, (2, 13, 10), dtype=np.int32)
    connected = on_device(labels)
    enforce_connectivity(connected, smallest)
    np.testing.assert_array_equal(connected.copy_to_host(), [naive.connect(one, smallest) for one in labels])


@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_equals_the_cpu_to_the_bit(shape):
    rng = np.random.default_rng(2)
    maps, labels = rng.normal(size=shape).astype(np.float32), rng.integers(0, 5, shape, dtype=np.int32)
    maps[0, 0, :1] = np.nan
    mean = superpixel_mean(on_device(maps), on_device(labels)).copy_to_host()
    np.testing.assert_array_equal(mean, superpixel_mean(maps, labels))
    lab = rng.normal(size=(*shape, 3)).astype(np.float32)
    found, expected = superpixel_statistics(on_device(lab), on_device(labels)), superpixel_statistics(lab, labels)
    for name, values in vars(found).items():
        np.testing.assert_array_equal(values.copy_to_host(), getattr(expected, name), err_msg=name)
    painted = paint(on_device(expected.position[..., 0]), on_device(labels)).copy_to_host()
    np.testing.assert_array_equal(painted, paint(expected.position[..., 0], labels))


def test_contrast():
    rng = np.random.default_rng(3)
    color = rng.uniform(-60, 60, (3, 11, 3)).astype(np.float32)
    color[2] = 5
    size = np.full((3, 11), 4, np.int32)
    size[1, [2, 10]] = 0
    statistics = SuperpixelStatistics(color, rng.random((3, 11, 2), np.float32), size, np.full(3, 11, np.int32))
    there = SuperpixelStatistics(*(on_device(values) for values in vars(statistics).values()))
    values = rng.random((3, 11))
    pairs = [
        (global_contrast(there), global_contrast(statistics)),
        (smooth_in_color_space(there, on_device(values)), smooth_in_color_space(statistics, values)),
        (color_distribution(there), color_distribution(statistics)),
        (low_level_map(there, centre_sigma=0.3), low_level_map(statistics, centre_sigma=0.3)),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(found.copy_to_host(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 23, 31)])
def test_histograms_are_equal_to_the_bit(shape):
    rng = np.random.default_rng(4)
    maps, masks = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    found = joint_histogram(on_device(maps), on_device(masks), 25).copy_to_host()
    np.testing.assert_array_equal(found, joint_histogram(maps, masks, 25))


def some_regions(images, ids, seed=5):
    """Regions of images that lack the last ids, each image one more than the last, and one in the middle."""
    rng = np.random.default_rng(seed)
    color = rng.uniform(0, 40, (images, ids, 3)).astype(np.float32)
    present = np.arange(ids)[None] < ids - np.arange(images)[:, None]
    present[1:, ids // 2 : ids // 2 + 1] = False
    near = np.abs(np.arange(ids)[:, None] - np.arange(ids)) == 1
    graph = near | (rng.random((images, ids, ids)) < 0.1)
    graph = (graph | graph.transpose(0, 2, 1)) & ~np.eye(ids, dtype=bool) & present[:, :, None] & present[:, None]
    return RegionGraph(color, graph, (rng.random((images, ids)) < 0.3) & present, present)


def moved(dataclass):
    return type(dataclass)(*(on_device(values) for values in vars(dataclass).values()))


@pytest.mark.parametrize(("images", "ids"), [(3, 11), (1, 8), (2, 1), (0, 5), (1, 0)])
def test_background(images, ids):
    regions = some_regions(images, ids)
    there, weights = moved(regions), background_weight(regions)
    found = background_weight(there).copy_to_host()
    np.testing.assert_allclose(found, weights, rtol=0, atol=1e-5)
    foreground, background = np.random.default_rng(6).random((2, images, ids))
    for floor in (0.0, 0.1):
        values = optimum(there, on_device(foreground), on_device(background), floor).copy_to_host()
        np.testing.assert_allclose(values, optimum(regions, foreground, background, floor), rtol=1e-9, atol=1e-12)
    assert not found[~regions.present].any()
    if images > 1:  # alone, without ids that only others have, it is what it is beside them
        ids = np.flatnonzero(regions.present[-1]).max(initial=-1) + 1
        alone = moved(
            RegionGraph(
                regions.color[-1:, :ids],
                regions.touching[-1:, :ids, :ids],
                regions.border[-1:, :ids],
                regions.present[-1:, :ids],
            )
        )
        np.testing.assert_array_equal(background_weight(alone).copy_to_host(), found[-1:, :ids])
        sides = on_device(foreground[-1:, :ids]), on_device(background[-1:, :ids])
        np.testing.assert_array_equal(optimum(alone, *sides, 0.1).copy_to_host(), values[-1:, :ids])


def test_background_of_regions_of_one_colour():
    regions = some_regions(2, 6)
    regions.color[:] = 7
    np.testing.assert_allclose(background_weight(moved(regions)).copy_to_host(), background_weight(regions), atol=1e-5)


def test_too_many_regions_to_solve_for(monkeypatch):
    monkeypatch.setattr(background_on_device, "LARGEST", 5)
    with pytest.raises(ValueError, match="at most 5 regions an image can be solved for on a device, got 6"):
        optimum(moved(some_regions(1, 6)), *(on_device(np.zeros((1, 6))) for _ in range(2)))


@pytest.mark.parametrize("shape", [*SHAPES, (2, 23, 31)])
def test_region_graph(shape):
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 7, shape, dtype=np.int32)
    lab = rng.uniform(-50, 50, (*shape, 3)).astype(np.float32)
    statistics = superpixel_statistics(lab, labels)
    expected, there = RegionGraph.of(labels, statistics), moved(statistics)
    for name, values in vars(RegionGraph.of(on_device(labels), there)).items():
        np.testing.assert_array_equal(values.copy_to_host(), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(touching(on_device(labels)).copy_to_host(), expected.touching)
    np.testing.assert_array_equal(on_border(on_device(labels)).copy_to_host(), expected.border)
    np.testing.assert_allclose(color_distances(there).copy_to_host(), color_distances(statistics), rtol=1e-12)


def test_empty_batches():
    assert rgb_to_lab(on_device(np.zeros((0, 4, 5, 3), np.uint8))).shape == (0, 4, 5, 3)
    assert slic_lab(on_device(np.zeros((0, 4, 5, 3), np.float32))).shape == (0, 4, 5)
    maps, labels = np.zeros((0, 4, 5), np.float32), np.zeros((0, 4, 5), np.int32)
    assert superpixel_mean(on_device(maps), on_device(labels)).shape == (0, 4, 5)


def test_nothing_is_converted_on_the_device():
    with pytest.raises(ValueError, match=r"images must be uint8 \[\*, \*, \*, 3\], got float64 \[1, 2, 3, 3\]"):
        rgb_to_lab(on_device(np.zeros((1, 2, 3, 3))))
    with pytest.raises(ValueError, match="labels must not be negative"):
        superpixel_mean(on_device(np.zeros((1, 2, 3), np.float32)), on_device(np.full((1, 2, 3), -1, np.int32)))


def everything(images, segments=6):
    """Labels, low-level maps and background weights, optimum included, all on the device, in memory."""
    lab = rgb_to_lab(device.to_device(images))
    labels = slic_lab(lab, segments)
    statistics = superpixel_statistics(lab, labels)
    values, regions = low_level_map(statistics), RegionGraph.of(labels, statistics)
    background = optimum(regions, values, background_weight(regions))
    return [device.to_host(array) for array in (labels, paint(values, labels), paint(background, labels))]


@pytest.mark.proof
def test_the_second_batch_allocates_nothing(monkeypatch):
    """And each waits for the device once: to learn how many superpixels there are."""
    waited = []
    monkeypatch.setattr(pooling, "to_host", lambda array: waited.append(array) or device.to_host(array))
    workspace, allocated = Workspace(), []
    for seed in range(2):
        images = images_of((2, 9, 8), seed)
        with workspace.batch():
            labels, *maps = everything(images)
        allocated.append(workspace.allocations)
    assert allocated[1] == allocated[0] > 10
    assert len(waited) == 2
    np.testing.assert_array_equal(labels, slic_lab(naive.rgb_to_lab(images).astype(np.float32), 6))
    for alone, found in zip(everything(images[:1]), (labels, *maps), strict=True):  # what it is beside others
        np.testing.assert_array_equal(alone, found[:1])


def test_a_workspace_hands_out_memory_once_a_batch():
    workspace = Workspace()
    with workspace.batch():
        first, second = device.empty((4, 2), np.float32), device.filled((2, 4), np.int32, 3)
        with workspace.batch():
            third = device.to_device(np.arange(8, dtype=np.float32))
        first[:] = 5
        np.testing.assert_array_equal(device.to_host(second), np.full((2, 4), 3))
        np.testing.assert_array_equal(device.to_host(third), np.arange(8))
        assert device.empty((0, 4), np.float32).shape == (0, 4)
        assert workspace.allocations == 3
    with workspace.batch():
        again = [device.empty((8,), np.int32) for _ in range(4)]
        assert workspace.allocations == 4
        assert len({address(array) for array in again}) == 4
    workspace.release()
    with workspace.batch():
        device.empty((8,), np.int32)
    assert workspace.allocations == 5


def test_constants_are_uploaded_once():
    table = np.arange(5.0)
    assert constant(table) is constant(np.arange(5.0))
    workspace = Workspace()
    with workspace.batch():
        first = constant(table)
    with workspace.batch():
        assert constant(np.arange(5.0)) is first
        assert constant(np.arange(5)) is not first
    assert workspace.allocations == 2
    np.testing.assert_array_equal(first.copy_to_host(), table)


def test_a_workspace_is_current_in_its_thread_alone():
    workspace = Workspace()
    with workspace.batch(), ThreadPoolExecutor(1) as pool:
        assert current_workspace() is workspace
        assert current_stream() is workspace.stream
        assert pool.submit(current_workspace).result() is None
    assert current_workspace() is None
    assert current_stream() == 0


def test_a_stream_waits_for_another_on_the_device(monkeypatch):
    happened = []

    class Event:
        def record(self, stream):
            happened.append(("record", stream))

        def wait(self, stream):
            happened.append(("wait", stream))

    monkeypatch.setattr(cuda, "event", Event)
    follow(0, 0)
    follow(0, 1)  # the default stream by its number
    workspace = Workspace()
    follow(workspace.stream, workspace.stream)
    assert happened == []
    array = on_device(np.zeros((1, 2, 3), np.float32))
    with workspace.batch():
        device.on_device("maps", array, np.float32, (1, 2, 3))
    assert happened == [("record", 0), ("wait", workspace.stream)]


def test_a_workspace_takes_the_stream_of_another_library(monkeypatch):
    monkeypatch.setattr(cuda, "external_stream", lambda handle: f"stream {handle}")
    assert Workspace(77).stream == "stream 77"
    assert Workspace(0).stream == "stream 1"


class Tensor:
    """Looks like one of torch's on a device; its stream there is 9."""

    __module__ = "torch"
    device = "cuda:0"

    def __init__(self, array):
        self.__cuda_ndarray__, self.array = True, array

    def __getattr__(self, name):
        return getattr(self.array, name)


def test_torch_and_the_workspace_wait_for_each_other(monkeypatch):
    happened = []
    event = SimpleNamespace(record=lambda stream: happened.append(stream), wait=lambda stream: happened.append(stream))
    torch = SimpleNamespace(
        cuda=SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=9)),
        as_tensor=lambda array, device: (array, device),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(cuda, "event", lambda: event)
    monkeypatch.setattr(cuda, "external_stream", int)
    tensor = Tensor(on_device(np.zeros(3)))
    workspace = Workspace()
    with workspace.batch():
        viewed = device.on_device("values", tensor, np.float64, (3,))
        assert device.handed_back(viewed, tensor) == (viewed, "cuda:0")
    assert happened == [9, workspace.stream, workspace.stream, 9]
    with Workspace(9).batch():
        device.handed_back(device.on_device("values", tensor, np.float64, (3,)), tensor)
    assert len(happened) == 4


def test_what_a_batch_has_waited_for_is_not_waited_for_again():
    workspace, asked = Workspace(), []

    def asks(array):
        asked.append(array)
        return len(asked)

    first, second = on_device(np.zeros(1)), on_device(np.zeros(1))
    with workspace.batch():
        assert [workspace.once(asks, array) for array in (first, second, first)] == [1, 2, 1]
    with workspace.batch():
        assert workspace.once(asks, first) == 3


@pytest.mark.proof
def test_the_benchmark_times_every_kernel():
    speeds = cuda_speeds(images_of((1, 6, 7)), rounds=1, copy_bytes=1000)
    assert [speed.name for speed in speeds][:2] == ["Lab", "SLIC"]
    assert all(speed.images_per_second > 0 and speed.bandwidth_share >= 0 for speed in speeds)
