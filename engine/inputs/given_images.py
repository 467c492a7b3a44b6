"""Images as a caller hands them over: paths, files' bytes, PIL images, arrays and tensors, decoded onto a network's grid."""

from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from ...errors import DecodingError, UnseeError
from ..decoding.decoded_image import DecodedImage, DecodingConfig
from ..decoding.decoding import decode, on_grid

CHANNELS = (1, 3, 4)
KINDS = "uint8 0 to 255 or float 0 to 1, [H,W] or [H,W,C] with 1, 3 (RGB) or 4 (RGBA) channels; tensors are [C,H,W]"


class TensorLike(Protocol):
    """A PyTorch tensor, whose type is not imported here."""

    ndim: int

    def detach(self) -> Any: ...


ImageLike: TypeAlias = np.ndarray | Image.Image | str | Path | bytes | TensorLike


def is_one(images: Any) -> bool:
    """Tell one image from a batch."""
    if isinstance(images, np.ndarray) or is_tensor(images):
        return images.ndim != 4
    return isinstance(images, (str, Path, bytes, Image.Image)) or hasattr(images, "read")


def as_pil(image: ImageLike) -> Image.Image:
    """Return an image that is neither a path nor bytes as a PIL image; `UnseeError` on what is none."""
    if is_tensor(image):
        image = as_array(image)
    if isinstance(image, np.ndarray):
        return as_picture(image)
    if not isinstance(image, Image.Image):
        raise UnseeError(f"expected a path, bytes, a PIL image, an array or a tensor, got {type(image).__name__}")
    return image


def decoded(image: ImageLike, config: DecodingConfig) -> DecodedImage:
    """Put an image on the grid; `UnseeError` where it cannot be read or decoded."""
    if isinstance(image, (str, Path)):
        if not str(image):
            raise UnseeError("the path of an image is empty")
        return _decoded_file(Path(image), config)
    if hasattr(image, "read"):
        raise UnseeError("is an open file: give its path, or the bytes that it holds")
    if isinstance(image, bytes):
        return _decoded_bytes(image, config)
    return _decoded_picture(as_pil(image), config)


def _decoded_file(path: Path, config: DecodingConfig) -> DecodedImage:
    if path.is_dir():
        raise UnseeError("is a folder, not an image: give its files, or use unsee run")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        raise UnseeError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return _decoded_bytes(data, config)


def _decoded_bytes(data: bytes, config: DecodingConfig) -> DecodedImage:
    try:
        return decode(data, config)
    except DecodingError as error:
        raise UnseeError(str(error)) from None


def _decoded_picture(picture: Image.Image, config: DecodingConfig) -> DecodedImage:
    """Put a PIL image on the grid; one that was opened from a file is only read now."""
    try:
        return on_grid(picture, config)
    except DecodingError as error:
        raise UnseeError(str(error)) from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow says to damaged files
        raise UnseeError(f"cannot be decoded ({error})") from None


def is_tensor(image: object) -> "TypeGuard[TensorLike]":
    """Say whether this is a PyTorch tensor, without importing PyTorch."""
    return type(image).__module__.split(".")[0] == "torch" and hasattr(image, "detach")


def as_array(tensor: TensorLike) -> np.ndarray:
    """Return a tensor [C,H,W] or [B,C,H,W], on whichever device, as an array with its channels last."""
    try:
        array = tensor.detach().cpu().numpy()
    except TypeError:  # numpy knows no bfloat16
        array = tensor.detach().cpu().float().numpy()
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
