"""Random seeds for refinement: points of the salient set and points of the darkest part of a map (spec 1.6, 1.9)."""

import numpy as np

from ..errors import UnseeError
from .checks import check_labels, check_maps
from .parallel import compiled, over_images
from .prune import otsu_threshold

MULTIPLIER = np.uint64(6364136223846793005)
INCREMENT = np.uint64(1442695040888963407)


def draw_seeds(
    maps: np.ndarray, labels: np.ndarray, runs: int = 100, points: int = 50, dark_share: float = 0.3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `points` salient and `points` dark pixels for each run, without replacement, and mark the regions they hit.

    maps: float32 [B, H, W]; labels: int [B, H, W]. Salient are pixels from Otsu's level on; where they are fewer than
    `points`, all of them are seeds. Dark are pixels up to the `dark_share` quantile of the map that are not salient.
    Returns bool [B, runs, n] twice: foreground, background. The draw depends on the seed and the image alone.
    """
    if runs < 1 or points < 1 or not 0 < dark_share < 1:
        raise UnseeError(f"runs and points must be positive and dark_share in 0..1, got {runs}, {points}, {dark_share}")
    maps = np.nan_to_num(check_maps(maps))
    labels, count = check_labels(labels, maps.shape)
    level = otsu_threshold(maps) * maps.max((1, 2), initial=0)
    salient = (maps >= level[:, None, None]) & (maps > 0)
    dark = (maps <= _quantile(maps, dark_share)[:, None, None]) & ~salient
    shape = (len(maps), runs, count)
    foreground, background = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    over_images(_draw_loop, labels, salient, foreground, constants=(points, np.uint64(2 * seed)))
    over_images(_draw_loop, labels, dark, background, constants=(points, np.uint64(2 * seed + 1)))
    return foreground, background


def _quantile(maps: np.ndarray, share: float) -> np.ndarray:
    """The value that `share` of a map's pixels do not exceed, [B]."""
    flat = maps.reshape(len(maps), -1)
    place = int(share * flat.shape[1])
    return np.partition(flat, place, axis=1)[:, place]


@compiled
def _draw_loop(labels: np.ndarray, allowed: np.ndarray, hit: np.ndarray, points: int, seed: np.uint64) -> None:
    _, height, width = labels.shape
    pool = np.empty(height * width, np.int32)
    for image in range(len(labels)):
        size = 0
        for row in range(height):
            for column in range(width):
                if allowed[image, row, column]:
                    pool[size] = labels[image, row, column]
                    size += 1
        state = seed
        for run in range(hit.shape[1]):
            state = _draw(pool[:size], hit[image, run], points, state)


@compiled
def _draw(pool: np.ndarray, hit: np.ndarray, points: int, state: np.uint64) -> np.uint64:
    """Shuffle the first places of the pool (Fisher and Yates) and mark what comes to lie there."""
    for place in range(min(points, len(pool))):
        state = state * MULTIPLIER + INCREMENT
        # The upper bits of a linear congruential generator are the random ones.
        other = place + np.int64((state >> np.uint64(33)) % np.uint64(len(pool) - place))
        pool[place], pool[other] = pool[other], pool[place]
        hit[pool[place]] = True
    return state
