"""What runs where, and the check of what it is given."""

from dataclasses import dataclass

import numpy as np

from ...errors import UnseeError
from ...resizing import STRETCHED, Resizing
from ...train.networks.metadata import Label


@dataclass(frozen=True)
class ModelInfo:
    """What runs where: the model's identity and labels, the side of its input in pixels, the backend and device in use.

    names_classes: see `Metadata`. precision: see `RunPrecision`. cleanup: where a descent's maps are
    finished, cpu or device. resizing: how images come onto its grid.
    """

    model_id: str
    labels: tuple[Label, ...]
    input_size: int
    backend: str
    device: str
    names_classes: bool = True
    precision: str = "fp32"
    cleanup: str = "cpu"
    resizing: Resizing = STRETCHED


def check_images(images: np.ndarray, size: int) -> None:
    """Raise `UnseeError` unless images are uint8 [B,size,size,3]."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise UnseeError(f"images must be uint8 [B,{size},{size},3], got {images.dtype} {list(images.shape)}")


def channels_first(images: np.ndarray) -> np.ndarray:
    """Return images [B,S,S,3] as float32 [B,3,S,S]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
