"""Checks of what comes into a kernel: shapes and dtypes are ValueErrors that name what was got."""

import numpy as np


def check_images(images: np.ndarray) -> np.ndarray:
    """Contiguous uint8 [B, H, W, 3], or a ValueError."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 [B, H, W, 3], got {images.dtype} {list(images.shape)}")
    return np.ascontiguousarray(images)


def check_lab(lab: np.ndarray) -> np.ndarray:
    """Contiguous float32 [B, H, W, 3], or a ValueError."""
    lab = np.asarray(lab)
    if lab.dtype.kind != "f" or lab.ndim != 4 or lab.shape[3] != 3:
        raise ValueError(f"Lab images must be float [B, H, W, 3], got {lab.dtype} {list(lab.shape)}")
    return np.ascontiguousarray(lab, np.float32)


def check_maps(maps: np.ndarray) -> np.ndarray:
    """Contiguous float32 [B, H, W], or a ValueError."""
    maps = np.asarray(maps)
    if maps.dtype.kind != "f" or maps.ndim != 3:
        raise ValueError(f"maps must be float [B, H, W], got {maps.dtype} {list(maps.shape)}")
    return np.ascontiguousarray(maps, np.float32)


def check_labels(labels: np.ndarray, shape: tuple[int, ...], count: int | None = None) -> tuple[np.ndarray, int]:
    """Contiguous int32 labels of the given [B, H, W] and how many there are, or a ValueError.

    That is one more than the largest label, or `count`, which must not be less.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != shape:
        raise ValueError(f"labels must be integers {list(shape)}, got {labels.dtype} {list(labels.shape)}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels must not be negative, got {labels.min()}")
    largest = int(labels.max()) if labels.size else -1
    if count is not None and largest >= count:
        raise ValueError(f"labels must be below {count}, got {largest}")
    return np.ascontiguousarray(labels, np.int32), largest + 1 if count is None else count
