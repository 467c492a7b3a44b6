"""SaliencyCut (Cheng et al., PAMI 2015; spec 5.3): GrabCut started from a saliency map, again and again.

OpenCV's GrabCut stands for the authors': its colour models are not weighted by the map.
"""

from types import ModuleType

import numpy as np

from ...extras import require
from ...kernels.morphology import dilate, erode

BLUR = 9
SURELY_OBJECT = (0.9, 0.7, 0.5, 0.3)
SURELY_BACKGROUND = 0.1
ROUNDS, INNER_ROUNDS = 4, 8
BAND = 5
"""Pixels around a found object's outline that the next round decides anew."""
SMALLEST_SHARE = 0.02
SETTLED = 10
"""Changed pixels below which the rounds end."""


def saliency_cut(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Cut the salient object out of an image: uint8 [H,W,3] RGB and float [H,W] -> bool [H,W], empty for a flat map."""
    cv2 = load_opencv()
    trimap = _first_trimap(cv2, saliency)
    mask = np.zeros(saliency.shape, bool)
    for _ in range(ROUNDS):
        if not (trimap == cv2.GC_FGD).any():
            return np.zeros(saliency.shape, bool)
        found = _largest_component(cv2, _grab_cut(cv2, image, trimap))
        changed = (found != mask).sum()
        mask = found
        if changed < SETTLED:
            break
        trimap = _next_trimap(cv2, mask)
    return mask


def load_opencv() -> ModuleType:
    """Import cv2; raises `MissingExtraError` where it is not installed."""
    return require("cv2", "segment", "SaliencyCut")


def _first_trimap(cv2: ModuleType, saliency: np.ndarray) -> np.ndarray:
    """Label pixels as background, object or, by the nearer of the two, as probably one of them."""
    blurred = cv2.blur(np.ascontiguousarray(saliency, np.float32), (BLUR, BLUR))
    low, high = blurred.min(), blurred.max()
    if high <= low:
        return np.full(saliency.shape, cv2.GC_BGD, np.uint8)
    scaled = (blurred - low) / (high - low)
    level = next((level for level in SURELY_OBJECT if (scaled > level).any()), SURELY_OBJECT[-1])
    trimap = np.where(scaled > (SURELY_BACKGROUND + level) / 2, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[scaled > level] = cv2.GC_FGD
    trimap[scaled < SURELY_BACKGROUND] = cv2.GC_BGD
    return trimap


def _grab_cut(cv2: ModuleType, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    if not (trimap == cv2.GC_BGD).any() and not (trimap == cv2.GC_PR_BGD).any():
        return np.ones(trimap.shape, bool)  # GrabCut wants samples of both
    cv2.setRNGSeed(0)  # its k-means draws from a generator of the thread
    labels, models = trimap.copy(), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), labels, None, *models, INNER_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _largest_component(cv2: ModuleType, mask: np.ndarray) -> np.ndarray:
    count, labels, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, bool)
    sizes = figures[1:, cv2.CC_STAT_AREA]
    largest = labels == 1 + int(sizes.argmax())
    return largest if sizes.max() >= SMALLEST_SHARE * mask.size else np.zeros(mask.shape, bool)


def _next_trimap(cv2: ModuleType, mask: np.ndarray) -> np.ndarray:
    """Leave a band around the object's outline to be decided, and call the image's border background."""
    maps = mask[None].astype(np.float32)
    inner, outer = erode(maps, BAND)[0] > 0, dilate(maps, BAND)[0] > 0
    trimap = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[inner] = cv2.GC_FGD
    trimap[~outer] = cv2.GC_BGD
    trimap[[0, -1], :] = trimap[:, [0, -1]] = cv2.GC_BGD
    return trimap
