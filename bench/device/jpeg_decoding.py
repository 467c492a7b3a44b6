"""JPEGs decoded and resized by nvJPEG, and by the CPU: images a second, and how far their pixels are apart."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...engine.decoding.decoded_image import DecodedImage, DecodingConfig
from ...engine.decoding.decoding import decode
from ...engine.decoding.jpeg_batches import Jpeg, JpegBatches
from ...engine.decoding.nvjpeg import NvJpeg
from .file_runs import write_photographs
from .scale import Deadline, Found, Scale, need_gpu
from .timing import seconds_of

SIZE = 224


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield images a second of both, and the differences in levels."""
    need_gpu(scale)
    files = _files(scale, max(scale.batches))
    batches = JpegBatches(DecodingConfig(SIZE), NvJpeg("cuda:0"))
    yield from compared(batches, files, scale, deadline)


def compared(batches: JpegBatches, files: Sequence[bytes], scale: Scale, deadline: Deadline) -> Found:
    """Yield the figures of a decoder on files: those of the CPU are of one core."""
    for exact in (True, False):
        config = DecodingConfig(SIZE, exact=exact)
        some = files[:32]
        seconds = seconds_of(lambda config=config, some=some: [decode(data, config) for data in some], False, 1)
        yield f"one_core_{'full' if exact else 'reduced'}", {"images_per_second": round(len(some) / seconds, 1)}
    jpegs = [jpeg for data in files if (jpeg := batches.taken(data))]
    yield "taken", len(jpegs)
    for size in scale.batches:
        if deadline.left <= 0:
            return
        seconds = seconds_of(lambda size=size: batches.decoded(jpegs[:size]), scale.on_gpu, scale.rounds)
        yield f"batch_{size}", {"images_per_second": round(min(size, len(jpegs)) / seconds, 1)}
    yield "levels", _differences(batches, jpegs[:64])


def _differences(batches: JpegBatches, jpegs: Sequence[Jpeg]) -> dict[str, float]:
    """Return by how many levels pixels are off those of the CPU at full size, and how many files were refused."""
    found = list(zip(batches.decoded(jpegs), jpegs, strict=True))
    apart = [
        np.abs(one.pixels.astype(int) - decode(jpeg.data, batches.config).pixels)
        for one, jpeg in found
        if isinstance(one, DecodedImage)
    ]
    return {
        "refused": len(found) - len(apart),
        "mean": round(float(np.mean(apart)), 3),
        "within_one": round(float(np.mean(np.concatenate(apart) <= 1)), 4),
        "largest": int(np.max(apart)),
    }


def _files(scale: Scale, count: int) -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="unsee-jpegs-") as name:
        folder = Path(name) / "photographs"
        write_photographs(folder, count, *scale.image_sides)
        return [path.read_bytes() for path in sorted(folder.iterdir())]
