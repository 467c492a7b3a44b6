"""Stands in for nvJPEG: files become planes as Pillow decodes them, all of a call or none, as torchvision does it."""

import io

import numpy as np
from PIL import Image

from unsee.errors import DeviceUnavailableError
from unsee.kernels.resampling_on_device import resized_images


class Memory:
    """Pixels that are held for as long as anything refers to them, as the frames of an error do."""

    def __init__(self, device, pixels):
        self.device, self.pixels = device, pixels
        device.held += pixels

    def __del__(self):
        self.device.held -= self.pixels


class FakeNvJpeg:
    """room: pixels that fit into the device's memory. refused: bytes of files that it cannot decode.

    calls: how many files each call that went well had. freed: how often its memory was given back. works: whether it
    decodes anything at all.
    """

    def __init__(self, device="cuda:0", room=10**9):
        self.device, self.room, self.held = device, room, 0
        self.refused: set[bytes] = set()
        self.calls: list[int] = []
        self.freed, self.works = 0, True

    def resized(self, files, passes):
        if not self.works:
            raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support")
        planes = [planes_of(data) for data in files]
        memory = Memory(self, sum(plane.size // 3 for plane in planes))
        if self.held > self.room:
            raise RuntimeError("Error while decoding JPEG images: Failed to decode jpeg batch: 5")
        if any(data in self.refused for data in files):
            raise RuntimeError("Error while decoding JPEG images: Failed to decode jpeg batch: 6")
        self.calls.append(len(files))
        flat = np.concatenate([plane.reshape(-1) for plane in planes])
        del memory
        return [resized_images(flat, resizes, 3, resample) for resizes, resample in passes]

    def check(self):
        if not self.works:
            raise DeviceUnavailableError("the GPU decodes no JPEG")

    def free(self):
        self.freed += 1


def planes_of(data):
    """Red, green and blue of a JPEG that is not turned, uint8 [3,H,W]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).transpose(2, 0, 1)
