"""Images that are no files: arrays and tensors of the kinds that libraries hand out, as PIL pictures."""

from typing import Any, Protocol, TypeGuard

import numpy as np
from PIL import Image

from ...errors import UnseeError

CHANNELS = (1, 3, 4)
KINDS = "uint8 0 to 255 or float 0 to 1, [H,W] or [H,W,C] with 1, 3 (RGB) or 4 (RGBA) channels; tensors are [C,H,W]"


class TensorLike(Protocol):
    """A PyTorch tensor, whose type is not imported here."""

    ndim: int

    def detach(self) -> Any: ...


def is_tensor(image: object) -> "TypeGuard[TensorLike]":
    """Say whether this is a PyTorch tensor, without importing PyTorch."""
    return type(image).__module__.split(".")[0] == "torch" and hasattr(image, "detach")


def as_array(tensor: TensorLike) -> np.ndarray:
    """Return a tensor [C,H,W] or [B,C,H,W], on whichever device, as an array with its channels last."""
    array = tensor.detach().cpu().numpy()
    if array.ndim < 3:
        return array
    if array.shape[-3] not in CHANNELS:
        raise UnseeError(f"a tensor has its channels first, {KINDS}; got {list(array.shape)}")
    return np.moveaxis(array, -3, -1)


def as_picture(array: np.ndarray) -> Image.Image:
    """Return an array as a picture: grey, RGB or RGBA. OpenCV's arrays are BGR: hand over `image[..., ::-1]`.

    Raises `UnseeError` on other shapes, types and ranges.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS) or array.size == 0:
        raise UnseeError(f"an array must be {KINDS}; got {array.dtype} {list(array.shape)}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise UnseeError(f"a float array must have values from 0 to 1, got {array.min():g} to {array.max():g}")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise UnseeError(f"an array must be {KINDS}; got {array.dtype} {list(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(array))
