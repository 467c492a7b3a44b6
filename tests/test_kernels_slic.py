"""SLIC against its plain twin, its promises, and scikit-image on photographs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as components
from skimage.segmentation import find_boundaries
from skimage.segmentation import slic as reference_slic

from unsee.errors import UnseeError
from unsee.kernels.color import rgb_to_lab
from unsee.kernels.connectivity import enforce_connectivity
from unsee.kernels.slic import SMALLEST_SHARE, grid_seeds, slic, slic_lab
from unsee.tests import naive

PHOTOGRAPHS = Path(__file__).resolve().parents[2] / "shared" / "data" / "ecssd-dev"


def blobs(count, height, width, seed=0):
    """Smooth random colour images, so that superpixels have shapes."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, height // 5 + 2, width // 5 + 2, 3), dtype=np.uint8)
    resized = [Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC) for image in coarse]
    return np.stack([np.asarray(image) for image in resized])


@pytest.mark.parametrize(
    ("height", "width", "segments"), [(37, 52, 12), (30, 30, 100), (41, 1, 7), (1, 23, 5), (9, 64, 6)]
)
def test_equals_the_naive_twin(height, width, segments):
    lab = rgb_to_lab(blobs(2, height, width))
    seeds, step = grid_seeds(height, width, segments)
    smallest = int(height * width / segments * SMALLEST_SHARE)
    for image, labels in zip(lab, slic_lab(lab, segments), strict=True):
        np.testing.assert_array_equal(labels, naive.slic(image, seeds, step, 10.0, smallest))


def test_connectivity_equals_the_flood_fill():
    rng = np.random.default_rng(1)
    for smallest in (0, 1, 3, 8, 1000):
        labels = rng.integers(0, 3, (23, 17), dtype=np.int32)
        expected = naive.connect(labels, smallest)
        enforce_connectivity(labels[None], smallest)
        np.testing.assert_array_equal(labels, expected)


def test_labels_are_contiguous_connected_and_in_raster_order():
    for labels in slic(blobs(3, 64, 91), segments=30):
        ids, first = np.unique(labels, return_index=True)
        assert ids.tolist() == list(range(len(ids)))
        assert (np.diff(first) > 0).all()
        assert all(components(labels == index)[1] == 1 for index in ids[1:])


def test_a_batch_equals_single_runs():
    images = blobs(5, 48, 61)
    batch = slic(images, segments=20)
    for image, labels in zip(images, batch, strict=True):
        np.testing.assert_array_equal(slic(image[None], segments=20)[0], labels)


def test_constant_image_gives_the_grid():
    """Where only place counts each seed keeps its cell, but for pixels midway between two."""
    labels = slic(np.full((1, 40, 60, 3), 90, np.uint8), segments=6)[0]
    grid = np.arange(40)[:, None] // 20 * 3 + np.arange(60)[None] // 20
    cell_middles = (np.abs(np.arange(40) % 20 - 9.5) < 8)[:, None] & (np.abs(np.arange(60) % 20 - 9.5) < 8)
    assert labels.max() == 5
    np.testing.assert_array_equal(labels[cell_middles], grid[cell_middles])


def test_values_that_are_not_finite_count_as_zero():
    lab = rgb_to_lab(blobs(1, 32, 40))
    holed, zeroed = lab.copy(), lab.copy()
    holed[0, 3:9, 4:12] = [np.nan, np.inf, -np.inf]
    zeroed[0, 3:9, 4:12] = 0
    np.testing.assert_array_equal(slic_lab(holed, 12), slic_lab(zeroed, 12))


def test_empty_batches_and_images():
    assert slic(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 8, 8)
    assert slic(np.zeros((2, 0, 8, 3), np.uint8)).shape == (2, 0, 8)


@pytest.mark.parametrize("parameters", [(0, 10.0, 0.5), (10, 0.0, 0.5), (10, float("nan"), 0.5), (10, 10.0, 1.5)])
def test_refuses_parameters_out_of_range(parameters):
    with pytest.raises(UnseeError, match="superpixels"):
        slic(np.zeros((1, 8, 8, 3), np.uint8), *parameters)


def boundary_recall(labels, mask):
    """Share of the mask's boundary pixels within 2 pixels of a superpixel boundary."""
    distance = distance_transform_edt(~find_boundaries(labels, mode="thick"))
    return (distance[find_boundaries(mask, mode="inner")] <= 2).mean()


def undersegmentation(labels, mask):
    """Share of pixels on the minor side of superpixels that straddle the mask."""
    inside, outside = np.bincount(labels[mask], minlength=1), np.bincount(labels[~mask], minlength=1)
    ids = min(len(inside), len(outside))
    return np.minimum(inside[:ids], outside[:ids]).sum() / mask.size


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the photographs of ../shared/data/ecssd-dev are not here")
def test_agrees_with_scikit_image_on_photographs():
    paths = sorted((PHOTOGRAPHS / "images").glob("*.jpg"))[::5]
    images = np.stack([np.asarray(Image.open(path).convert("RGB").resize((224, 224))) for path in paths])
    masks = [Image.open(PHOTOGRAPHS / "masks" / f"{path.stem}.png").convert("L") for path in paths]
    masks = [np.asarray(mask.resize((224, 224), Image.Resampling.NEAREST)) > 128 for mask in masks]
    ours = slic(images)
    theirs = [reference_slic(image, n_segments=100, compactness=10, start_label=0) for image in images]

    def mean(measure, segmentations):
        return np.mean([measure(labels, mask) for labels, mask in zip(segmentations, masks, strict=True)])

    assert len(images) == 50
    assert mean(boundary_recall, ours) >= mean(boundary_recall, theirs) - 0.01
    assert mean(undersegmentation, ours) <= mean(undersegmentation, theirs) + 0.01
    counts = np.mean([labels.max() + 1 for labels in ours]), np.mean([labels.max() + 1 for labels in theirs])
    assert counts[0] == pytest.approx(counts[1], rel=0.1)
