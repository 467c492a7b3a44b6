"""Stands in for nvJPEG: files become planes as Pillow decodes them, all of a call or none, as torchvision does it."""

import io

import numpy as np
from PIL import Image

from unsee.kernels.resampling_on_device import resized_images


class FakeNvJpeg:
    """room: pixels that fit into the device's memory. refused: bytes of files that it cannot decode.

    calls: how many files each call that went well had.
    """

    def __init__(self, device="cuda:0", room=10**9):
        self.device, self.room = device, room
        self.refused: set[bytes] = set()
        self.calls: list[int] = []
        self.closed = False

    def resized(self, files, passes):
        if any(data in self.refused for data in files):
            raise RuntimeError("Error while decoding JPEG images: Failed to decode jpeg batch: 6")
        planes = [planes_of(data) for data in files]
        if sum(plane.size // 3 for plane in planes) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.calls.append(len(files))
        flat = np.concatenate([plane.reshape(-1) for plane in planes])
        return [resized_images(flat, resizes, 3, resample) for resizes, resample in passes]

    def close(self):
        self.closed = True


def planes_of(data):
    """Red, green and blue of a JPEG that is not turned, uint8 [3,H,W]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).transpose(2, 0, 1)
