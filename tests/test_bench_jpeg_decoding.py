"""Figures of decoding on a device, with a stand-in for it."""

import io

import numpy as np
from PIL import Image

from unsee.bench.device.jpeg_decoding import SIZE, compared
from unsee.bench.device.scale import Deadline, Scale
from unsee.engine.decoding.decoded_image import DecodingConfig
from unsee.engine.decoding.jpeg_batches import JpegBatches
from unsee.tests.fake_nvjpeg import FakeNvJpeg


def test_speeds_and_differences():
    files = []
    for seed in range(3):
        file = io.BytesIO()
        noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(noise).save(file, "JPEG")
        files.append(file.getvalue())
    found = dict(compared(JpegBatches(DecodingConfig(SIZE), FakeNvJpeg()), files, Scale.of("cpu"), Deadline(60)))
    assert found["taken"] == 3
    assert found["levels"] == {"refused": 0, "mean": 0, "within_one": 1, "largest": 0}
    assert {"one_core_full", "one_core_reduced", "batch_4"} < set(found)
    assert all(figures["images_per_second"] > 0 for name, figures in found.items() if name.startswith(("one", "batch")))
