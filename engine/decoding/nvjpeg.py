"""JPEGs decoded by nvJPEG and resized by our kernels, a batch at a time.

Decoding goes through torchvision, which gives planes of red, green and blue at full size on the GPU.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from ...errors import DeviceUnavailableError, MissingExtraError, first_line
from ...extras import how_to_install
from ...kernels.device import to_host, viewed
from ...kernels.resampling_on_device import Resize, resized_images
from ...kernels.workspace import Workspace, load_cuda

SAMPLE = (24, 40)
"""Height and width of the JPEG that is decoded to see whether the device can."""


class NvJpeg:
    """nvJPEG on one GPU, for one thread at a time. device: as `cuda:0`.

    Raises `MissingExtraError` without PyTorch and torchvision, `DeviceUnavailableError` where they decode nothing on it.
    """

    def __init__(self, device: str) -> None:
        if not device.startswith("cuda"):
            raise DeviceUnavailableError(
                f"--decoder nvjpeg needs a network that runs on a GPU, and this one runs on {device}"
            )
        self.torch, self.decode_jpeg = _libraries()
        if not self.torch.cuda.is_available():
            raise DeviceUnavailableError("--decoder nvjpeg needs a PyTorch that sees a GPU, and this one sees none")
        self.device = self.torch.device(device)
        self.gpu = load_cuda().gpus[self.device.index or 0]
        with self.gpu:
            self.stream = self.torch.cuda.Stream(self.device)
            self.workspace = Workspace(self.stream.cuda_stream)
        self.sample = _sample()
        self.check()

    def resized(self, files: Sequence[bytes], passes: Sequence[tuple[Sequence[Resize], str]]) -> list[np.ndarray]:
        """Decode RGB JPEGs, and resize them in each of several ways: one entry a file, and a filter.

        Returns for each way the new images one after the other, uint8, each [height,width,3]. Raises what torchvision
        raises where any file cannot be decoded, and ValueError where one is of another size than its entry says.
        """
        with self._at_work():
            planes = viewed(self._planes(files, [one.before for one in passes[0][0]]))
            return [to_host(resized_images(planes, resizes, 3, resample)) for resizes, resample in passes]

    def check(self) -> None:
        """Decode a small JPEG; raise `DeviceUnavailableError` where that fails."""
        height, width = SAMPLE
        try:
            self.resized([self.sample], [([Resize(SAMPLE, (height // 2, width // 2), False)], "bilinear")])
        except Exception as error:  # whatever the libraries say of a device that does not work
            raise DeviceUnavailableError(
                f"--decoder nvjpeg: the GPU decodes no JPEG ({first_line(error)[:200]}): use --decoder cpu"
            ) from error

    def free(self) -> None:
        """Give back the device's memory; it is taken again when it is needed."""
        self.workspace.release()
        self.torch.cuda.empty_cache()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self.gpu, self.torch.cuda.stream(self.stream), self.workspace.batch():
            yield

    def _planes(self, files: Sequence[bytes], sizes: Sequence[tuple[int, int]]) -> Any:
        """Return all planes of all files, one after the other, uint8 [N] on the device. sizes: heights and widths.

        The decoding engine does not wait for the stream it is given: it may write to memory whose last readers are still
        running (torchvision #9606). So nothing may be left to run here, on a stream whose memory nothing else is given.
        """
        self.stream.synchronize()
        encoded = [self.torch.frombuffer(bytearray(data), dtype=self.torch.uint8) for data in files]
        decoded = self.decode_jpeg(encoded, mode="RGB", device=self.device)
        if [tuple(image.shape) for image in decoded] != [(3, *size) for size in sizes]:
            raise ValueError("nvJPEG decodes another size than the header says")
        return self.torch.cat([image.reshape(-1) for image in decoded])


def _libraries() -> tuple[Any, Any]:
    """Return torch and torchvision's decoder; `MissingExtraError` where they are not installed, or do not fit together."""
    try:
        import torch
        from torchvision.io import decode_jpeg
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(
            "--decoder nvjpeg needs PyTorch for CUDA and the torchvision that fits it "
            f"({first_line(error)}): {how_to_install('torchvision')}"
        ) from error
    return torch, decode_jpeg


def _sample() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((*SAMPLE, 3), (200, 100, 50), np.uint8)).save(file, "JPEG")
    return file.getvalue()
