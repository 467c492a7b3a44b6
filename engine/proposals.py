"""Object proposals, and the one that fits a map best (spec 1.7, 5.8)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UnseeError
from ..extras import require
from ..images import open_image
from ..kernels.pooling import SuperpixelStatistics
from ..kernels.region_graph import touching
from ..kernels.region_hierarchy import region_hierarchy


def jaccard(mask: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """Return |M & P| / |M | P| of a mask [H,W] and proposals [k,H,W]: float64 [k]; two empty masks are equal: 1."""
    mask = mask.astype(bool)
    common = (proposals & mask).sum((1, 2))
    union = proposals.sum((1, 2)) + mask.sum() - common
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def best_proposal(mask: np.ndarray, proposals: Iterable[np.ndarray]) -> np.ndarray:
    """Return the proposal, bool [H,W], of the largest Jaccard index with a mask, the first of equal ones (A 4)."""
    stacked = np.stack([np.asarray(proposal, bool) for proposal in proposals])
    return stacked[int(jaccard(mask, stacked).argmax())]


def own_proposals(labels: np.ndarray, statistics: SuperpixelStatistics, most: int) -> list[np.ndarray]:
    """Return the `most` regions of each image that joined last in the hierarchy of its superpixels, bool [k,H,W] each.

    labels: int [B,H,W]. The whole image is no proposal unless it is the only region; the last join comes first.
    """
    members = region_hierarchy(statistics, touching(labels))
    return [_masks(below, label, most) for below, label in zip(members, labels, strict=True)]


def _masks(members: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    found = members[members.any(1)][::-1]
    chosen = found[1 : most + 1] if len(found) > 1 else found
    return chosen[:, labels]


def read_proposals(folder: Path, name: str, size: int, most: int) -> np.ndarray:
    """Read the first `most` proposals of an image, bool [k,size,size].

    They are the images in `folder/name/`, sorted by name, or MCG's `folder/name.mat` with the fields superpixels,
    labels and scores. Raises `UnseeError` where there are none.
    """
    masks = _from_images(folder / name, most) or _from_mat(folder / f"{name}.mat", most)
    if not masks:
        raise UnseeError(f"no proposals of {name}: neither images in {folder / name} nor {folder / name}.mat")
    resized = [Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST) for mask in masks]
    return np.stack([np.asarray(mask) for mask in resized]) > 127


def _from_images(folder: Path, most: int) -> list[np.ndarray]:
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".bmp", ".jpg"))[:most]
    try:
        return [np.asarray(open_image(path).convert("L")) for path in paths]
    except OSError as error:
        raise UnseeError(f"{folder}: a proposal cannot be read ({error})") from None


def _from_mat(path: Path, most: int) -> list[np.ndarray]:
    if not path.exists():
        return []
    scipy_io = require("scipy.io", "segment", "reading MCG's .mat files")
    try:
        content = scipy_io.loadmat(path, simplify_cells=True)
        fields: dict[str, Any] = content if "superpixels" in content else content["proposals"]
        superpixels = np.asarray(fields["superpixels"])
        listed = [np.atleast_1d(ids) for ids in fields["labels"]]
        order = np.argsort(-np.asarray(fields["scores"], float).ravel(), kind="stable")[:most]
        return [np.isin(superpixels, listed[place]).astype(np.uint8) * 255 for place in order]
    except (ValueError, KeyError, TypeError, IndexError, scipy_io.matlab.MatReadError) as error:
        raise UnseeError(f"{path}: not MCG proposals ({type(error).__name__}: {error})") from None
