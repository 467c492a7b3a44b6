"""Object proposals, and the one that fits a map best (spec 1.7, 5.8)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import UnseeError
from ...extras import require
from ...formats import image_files
from ...images import open_image
from ...kernels.pooling import SuperpixelStatistics
from ...kernels.region_graph import touching
from ...kernels.region_hierarchy import region_hierarchy


class ProposalsError(UnseeError):
    """An image's proposals cannot be used; `code` is the row's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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


def read_proposals(folder: Path, name: str, shape: tuple[int, int], most: int) -> np.ndarray:
    """Read the first `most` proposals of an image, bool [k,H,W] of that shape.

    They are the images in `folder/name/`, sorted by name, or MCG's `folder/name.mat` with the fields superpixels,
    labels and scores. Raises `ProposalsError` with code `no_proposals` or `damaged_proposals`.
    """
    masks = _from_images(folder / name, most) or _from_mat(folder / f"{name}.mat", most)
    if not masks:
        message = f"no proposals of {name}: neither images in {folder / name} nor {folder / name}.mat"
        raise ProposalsError("no_proposals", message)
    resized = [Image.fromarray(mask).resize((shape[1], shape[0]), Image.Resampling.NEAREST) for mask in masks]
    return np.stack([np.asarray(mask) for mask in resized]) > 127


def _from_images(folder: Path, most: int) -> list[np.ndarray]:
    paths = image_files(folder)[:most]
    return [_from_image(path) for path in paths]


def _from_image(path: Path) -> np.ndarray:
    try:
        return np.asarray(open_image(path).convert("L"))
    except Exception as error:  # whatever a hostile file makes Pillow raise is that one image's failure
        raise ProposalsError("damaged_proposals", f"{path}: {type(error).__name__}: {error}") from None


def _from_mat(path: Path, most: int) -> list[np.ndarray]:
    if not path.exists():
        return []
    loadmat = require("scipy.io", "segment", "reading MCG's .mat files").loadmat
    try:
        content = loadmat(path, simplify_cells=True)
        fields: dict[str, Any] = content if "superpixels" in content else content["proposals"]
        superpixels = np.asarray(fields["superpixels"])
        listed = [np.atleast_1d(ids) for ids in fields["labels"]]
        order = np.argsort(-np.asarray(fields["scores"], float).ravel(), kind="stable")[:most]
        return [np.isin(superpixels, listed[place]).astype(np.uint8) * 255 for place in order]
    except Exception as error:  # as above: the reader unpacks and follows whatever the file says
        message = f"{path}: not MCG proposals ({type(error).__name__}: {error})"
        raise ProposalsError("damaged_proposals", message) from None
