"""OpenCV's spectral-residual saliency (Hou & Zhang, CVPR 2007): no classifier, a fraction of a millisecond an image."""

import numpy as np

from ...errors import MissingExtraError
from ...extras import require


def spectral_residual(images: np.ndarray) -> np.ndarray:
    """Return maps, float32 [B,S,S] with a maximum of 1, of images, uint8 [B,S,S,3] RGB."""
    method = _opencv().StaticSaliencySpectralResidual_create()
    maps = np.stack([method.computeSaliency(np.ascontiguousarray(image[..., ::-1]))[1] for image in images])
    return maps / np.maximum(maps.max((1, 2), keepdims=True), 1e-30)


def check_installed() -> None:
    """Raise `MissingExtraError` where OpenCV is not there, or came without its contributed modules."""
    _opencv()


def _opencv():
    purpose = "spectral-residual saliency"
    opencv = require("cv2", "peers", purpose)
    if not hasattr(opencv, "saliency"):
        raise MissingExtraError(
            f"{purpose} needs OpenCV's contributed modules, which the installed cv2 lacks: "
            "pip install --force-reinstall opencv-contrib-python-headless"
        )
    return opencv.saliency
