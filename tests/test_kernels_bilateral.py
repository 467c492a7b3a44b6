"""The bilateral solver against its formulas on sparse matrices, and what it does to maps."""

import numpy as np
import pytest

from unsee.kernels.bilateral_solver import bilateral

SIGMAS = (4.0, 16.0, 8.0)


def formulas(given, image, sigmas, smoothness, confidence):
    """Solve for a map as the paper says it, with a direct solver: float [H,W]."""
    sparse = pytest.importorskip("scipy.sparse", reason="scipy is not installed")
    from scipy.sparse.linalg import spsolve

    place, luma, chroma = sigmas
    rows, columns = np.mgrid[: given.shape[0], : given.shape[1]]
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    first = 128 - 0.168736 * red - 0.331264 * green + 0.5 * blue
    second = 128 + 0.5 * red - 0.418688 * green - 0.081312 * blue
    places = [rows / place, columns / place, light / luma, first / chroma, second / chroma]
    cells, number = np.unique(np.stack(places, -1).reshape(-1, 5).astype(int), axis=0, return_inverse=True)
    count = len(cells)
    splat = sparse.csr_matrix((np.ones(given.size), (number.ravel(), np.arange(given.size))))
    near = (np.abs(cells[:, None] - cells).sum(-1) == 1).astype(float)
    blur = sparse.csr_matrix(near + 10 * np.eye(count))
    sizes = splat @ np.ones(given.size)
    scale = np.ones(count)
    for _ in range(10):
        scale = np.sqrt(scale * sizes / (blur @ scale))
    mass = scale * (blur @ scale)
    smooth = sparse.diags(mass) - sparse.diags(scale) @ blur @ sparse.diags(scale)
    system = smoothness * smooth + confidence * sparse.diags(sizes)
    return (splat.T @ spsolve(system.tocsc(), confidence * (splat @ given.ravel()))).reshape(given.shape)


@pytest.fixture
def scene():
    """A dark disk on a bright ground, both noisy, and a map of the disk that is noisier still."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :52]
    disk = (rows - 18) ** 2 + (columns - 25) ** 2 < 120
    image = np.where(disk[..., None], 60, 180) + random.integers(-9, 10, (40, 52, 3))
    given = np.clip(disk + random.normal(0, 0.4, disk.shape), 0, 1)
    return image.astype(np.uint8), disk, given.astype(np.float32)


@pytest.mark.parametrize(("smoothness", "confidence"), [(1.0, 1.0), (16.0, 0.999), (0.0, 0.5)])
def test_the_solution_is_that_of_the_formulas(scene, smoothness, confidence):
    image, _, given = scene
    exact = formulas(given, image, SIGMAS, smoothness, confidence)
    solved = bilateral(given[None], image[None], *SIGMAS, smoothness, confidence)[0]
    np.testing.assert_allclose(solved, np.clip(exact, 0, 1), atol=1e-3)


def test_maps_come_to_follow_the_edges(scene):
    image, disk, given = scene
    solved = bilateral(given[None], image[None], 8, 32, 16, 64)[0]
    assert solved.dtype == np.float32
    assert ((given > 0.5) != disk).mean() > 0.1
    assert ((solved > 0.5) != disk).mean() < 0.01


def test_every_image_is_solved_on_its_own(scene):
    image, _, given = scene
    images = np.stack([image, image[::-1], np.full_like(image, 200)])
    maps = np.stack([given, given[::-1], given])
    together = bilateral(maps, images)
    for place in range(3):
        np.testing.assert_array_equal(together[place], bilateral(maps[place : place + 1], images[place : place + 1])[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (33, 20)])
def test_constant_maps_stay(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    for level in (0.0, 0.3, 1.0):
        maps = np.full((2, *shape), level, np.float32)
        np.testing.assert_allclose(bilateral(maps, images), maps, atol=1e-6)


def test_an_empty_batch_is_one():
    assert bilateral(np.zeros((0, 4, 4), np.float32), np.zeros((0, 4, 4, 3), np.uint8)).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("maps", "images", "options", "message"),
    [
        ((1, 4, 4), (1, 4, 5, 3), {}, "need images of the same sides"),
        ((1, 4096, 1), (1, 4096, 1, 3), {}, "need images of the same sides"),
        ((1, 4, 4), (1, 4, 4, 3), {"sigma_luma": 0.5}, "at least 1"),
        ((1, 4, 4), (1, 4, 4, 3), {"confidence": 0}, "confidence above 0"),
    ],
)
def test_what_does_not_fit_says_why(maps, images, options, message):
    with pytest.raises(ValueError, match=message):
        bilateral(np.zeros(maps, np.float32), np.zeros(images, np.uint8), **options)
