"""Region graphs, merge trees, seeds, the random walker, hierarchies and graph-based segmentation."""

import numpy as np
import pytest
from skimage.segmentation import random_walker

from unsee.errors import UnseeError
from unsee.kernels.blur import gaussian_blur
from unsee.kernels.felzenszwalb import felzenszwalb
from unsee.kernels.pooling import SuperpixelStatistics, superpixel_statistics
from unsee.kernels.random_walker import walk_labels, walk_weights
from unsee.kernels.region_graph import color_distances, edge_costs, on_border, shortest_paths, touching
from unsee.kernels.region_hierarchy import region_hierarchy
from unsee.kernels.seeds import draw_seeds
from unsee.kernels.ultrametric import label_by_seeds, merge_trees
from unsee.tests import naive

RNG = np.random.default_rng(5)


def random_graph(nodes, density=0.4, ties=True):
    costs = RNG.integers(0, 6, (nodes, nodes)).astype(float) if ties else RNG.random((nodes, nodes))
    costs[RNG.random((nodes, nodes)) > density] = np.inf
    costs = np.minimum(costs, costs.T)
    np.fill_diagonal(costs, np.inf)
    return costs


@pytest.mark.parametrize("shape", [(7, 5), (1, 9), (6, 1), (1, 1)])
def test_graph_of_touching_regions(shape):
    labels = RNG.integers(0, 4, (3, *shape))
    labels[:, 0, 0] = 3  # all labels are present somewhere
    for graph, one in zip(touching(labels), labels, strict=True):
        np.testing.assert_array_equal(graph, naive.touching(one))


def test_regions_on_the_border():
    labels = np.array([[[0, 0, 0, 0], [0, 1, 2, 2], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 1, 1, 0], [3, 0, 0, 0]]])
    np.testing.assert_array_equal(on_border(labels), [[1, 0, 1, 0], [1, 0, 0, 1]])


@pytest.mark.parametrize("nodes", [1, 2, 9])
def test_shortest_paths_by_hand_and_naively(nodes):
    costs = np.stack([random_graph(nodes) for _ in range(4)])
    for path, cost in zip(shortest_paths(costs), costs, strict=True):
        np.testing.assert_allclose(path, naive.shortest_paths(cost))


@pytest.mark.parametrize("nodes", [1, 2, 3, 12])
@pytest.mark.parametrize("ties", [True, False])
def test_labels_are_those_of_minimax_paths(nodes, ties):
    costs = np.stack([random_graph(nodes, ties=ties) for _ in range(5)])  # some fall into parts
    foreground, background = RNG.random((2, 5, 20, nodes)) < 0.2
    labels = label_by_seeds(merge_trees(costs), foreground, background)
    for image, cost in enumerate(costs):
        for run in range(20):
            near = naive.minimax_costs(cost, foreground[image, run])
            far = naive.minimax_costs(cost, background[image, run])
            np.testing.assert_array_equal(labels[image, run], near < far)


def test_ties_are_background_and_without_background_all_reached_is_foreground():
    chain = np.full((1, 3, 3), np.inf)
    chain[0, [0, 1, 1, 2], [1, 0, 2, 1]] = 4.0  # 0 - 1 - 2 with equal edges
    ends = np.array([[[True, False, False]]]), np.array([[[False, False, True]]])
    assert label_by_seeds(merge_trees(chain), *ends).tolist() == [[[True, False, False]]]
    alone = label_by_seeds(merge_trees(chain), ends[0], np.zeros_like(ends[0]))
    assert alone.tolist() == [[[True, True, True]]]
    assert not label_by_seeds(merge_trees(chain), ends[0], ends[0]).any()


def test_wrong_shapes_and_nan_are_refused():
    with pytest.raises(ValueError, match="without NaN"):
        merge_trees(np.full((1, 2, 2), np.nan))
    with pytest.raises(ValueError, match="do not fit"):
        label_by_seeds(merge_trees(np.ones((1, 3, 3))), np.ones((1, 2, 2)), np.ones((1, 2, 2)))


def test_seeds_come_from_the_salient_and_the_dark_part():
    maps = np.zeros((2, 20, 30), np.float32)
    maps[:, 5:15, 10:20] = 1
    labels = np.broadcast_to(np.arange(600).reshape(20, 30), maps.shape)
    foreground, background = draw_seeds(maps, labels, runs=7, points=50)
    assert foreground.shape == (2, 7, 600)
    assert (foreground.sum(2) == 50).all()
    assert (background.sum(2) == 50).all()
    assert maps[0].ravel()[foreground[0].any(0)].min() == 1
    assert maps[0].ravel()[background[0].any(0)].max() == 0
    assert len({run.tobytes() for run in foreground[0]}) == 7
    np.testing.assert_array_equal(foreground[0], foreground[1])  # the draw depends on the image and the seed alone
    assert (draw_seeds(maps, labels, 7, 50, seed=1)[0] != foreground).any()


def test_seeds_are_spread_evenly():
    maps = np.ones((1, 10, 10), np.float32)
    maps[0, 0] = 0
    labels = np.arange(100).reshape(1, 10, 10)
    foreground, _ = draw_seeds(maps, labels, runs=4000, points=9)
    rate = foreground[0].mean(0)[10:]
    assert abs(rate - 0.1).max() < 5 * np.sqrt(0.09 / 4000)


def test_few_salient_pixels_are_all_taken_and_a_zero_map_has_none():
    maps = np.zeros((2, 12, 12), np.float32)
    maps[0, 3, 4:7] = 1
    foreground, background = draw_seeds(maps, np.arange(144).reshape(1, 12, 12).repeat(2, 0), runs=3, points=50)
    assert (foreground.sum(2) == [[3] * 3, [0] * 3]).all()
    assert (background.sum(2) == 50).all()


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"points": 0}, {"dark_share": 1}])
def test_parameters_of_seeds_are_checked(wrong):
    with pytest.raises(UnseeError):
        draw_seeds(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), int), **wrong)


@pytest.mark.parametrize("channels", [1, 3])
def test_random_walker_on_pixels_is_scikit_images(channels):
    picture = RNG.random((9, 11, channels))
    picture[:, 5:] = picture[:, 5:] * 0.3 + 0.7
    markers = np.zeros((9, 11), int)
    markers[2, 1], markers[7, 9], markers[0, 8] = 1, 2, 1
    expected = random_walker(picture, markers, beta=130, mode="bf", channel_axis=-1)
    graph = naive.touching(np.arange(99).reshape(9, 11))
    weights = walk_weights(picture.reshape(-1, channels), graph)
    labels = walk_labels(weights, (markers == 1).reshape(1, -1), (markers == 2).reshape(1, -1))
    np.testing.assert_array_equal(labels[0].reshape(9, 11), expected == 1)


def test_random_walker_with_one_kind_of_seed_or_both_in_one_region():
    weights = walk_weights(np.zeros((3, 3)), np.ones((3, 3), bool) ^ np.eye(3, dtype=bool))
    seed, none = np.array([[True, False, False]]), np.zeros((1, 3), bool)
    assert walk_labels(weights, seed, none).all()
    assert not walk_labels(weights, none, seed).any()
    assert not walk_labels(weights, seed, seed).any()


def test_hierarchy_joins_as_ward_does():
    labels = RNG.integers(0, 3, (2, 8, 8)) + 3 * RNG.integers(0, 3, (2, 8, 8))
    lab = RNG.random((2, 8, 8, 3)).astype(np.float32) * 50
    statistics, graph = superpixel_statistics(lab, labels), touching(labels)
    members = region_hierarchy(statistics, graph)
    for image in range(2):
        color, size = statistics.color[image].astype(float), statistics.size[image].astype(float)
        expected = naive.ward_hierarchy(color, size, graph[image])
        count = statistics.size.shape[1]
        found = [frozenset(np.flatnonzero(row).tolist()) for row in members[image, count:] if row.any()]
        assert found == expected
    assert np.array_equal(graph, touching(labels))  # the caller's graph is not consumed


def test_color_distances_and_edge_costs():
    color = np.array([[[50, 0, 0], [53, 4, 0], [80, 40, 0]]], np.float32)
    places, size = np.zeros((1, 3, 2), np.float32), np.ones((1, 3), np.int32)
    distances = color_distances(SuperpixelStatistics(color, places, size, np.array([3], np.int32)))
    np.testing.assert_allclose(distances[0], [[0, 5, 50], [5, 0, 45], [50, 45, 0]])
    chain = np.array([[[False, True, False], [True, False, True], [False, True, False]]])
    assert edge_costs(distances, chain)[0].tolist() == [[np.inf, 5, np.inf], [5, np.inf, 45], [np.inf, 45, np.inf]]


@pytest.mark.parametrize("shape", [(9, 13), (1, 20), (17, 1)])
@pytest.mark.parametrize(("scale", "min_size"), [(5.0, 0), (30.0, 6)])
def test_felzenszwalb_joins_as_the_naive_one(shape, scale, min_size):
    lab = (RNG.integers(0, 4, (2, *shape, 3)) * 8).astype(np.float32)  # many ties
    for labels, one in zip(felzenszwalb(lab, 0, scale, min_size), lab, strict=True):
        np.testing.assert_array_equal(labels, naive.felzenszwalb(one, scale, min_size))


def test_felzenszwalb_finds_flat_areas():
    lab = np.zeros((1, 40, 50, 3), np.float32)
    lab[0, 10:30, 10:40] = 60
    labels = felzenszwalb(lab, sigma=0.0, scale=50, min_size=20)
    np.testing.assert_array_equal(labels[0], lab[0, :, :, 0] > 0)
    with pytest.raises(UnseeError):
        felzenszwalb(lab, scale=-1)


def test_blur_keeps_constants_and_spreads_a_point():
    assert gaussian_blur(np.full((1, 5, 1), 3, np.float32), 2.0) == pytest.approx(np.full((1, 5, 1), 3))
    point = np.zeros((1, 9, 9), np.float32)
    point[0, 4, 4] = 1
    taps = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    taps /= taps.sum()
    np.testing.assert_allclose(gaussian_blur(point, 1.0)[0], np.outer(taps, taps), atol=1e-6)
    with pytest.raises(UnseeError):
        gaussian_blur(point, 0)
