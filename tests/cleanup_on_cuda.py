"""Checks of the clean-up on the device that descends, run by test_kernels_cuda.py in a process of its own."""

import io
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cuda
from PIL import Image

from unsee.engine.cleanup.device_cleanup import DeviceCleanup
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.decoding import nvjpeg
from unsee.engine.decoding.decoded_image import DecodingConfig
from unsee.engine.decoding.decoding import decode
from unsee.engine.decoding.jpeg_batches import JpegBatches
from unsee.engine.methods.descents import DescentMethod, DeviceDescentMethod
from unsee.export.runtime.descender import Descent
from unsee.export.runtime.model_info import ModelInfo
from unsee.kernels.resampling_on_device import Resize
from unsee.resizing import Resizing
from unsee.tests.cuda_simulator import on_device, simulated, simulator, tiny_blocks  # noqa: F401
from unsee.tests.fake_nvjpeg import planes_of
from unsee.train.networks.metadata import numbered_labels

SIZE = 8
POST = PRESETS["a-reference"].post


class Brightness:
    """A descender that takes away what is bright, and whose results diverge on a white image.

    there: whether its runner leaves them on the device, padded.
    """

    def __init__(self, there=False):
        self.info = ModelInfo("m", tuple(numbered_labels(4)), SIZE, "torch", "cuda:0")
        handle = 0 if there else None
        self.runner = SimpleNamespace(device="cuda:0", stream_handle=handle, expected=0, at_work=nullcontext)
        self.runner.expect = lambda batch: setattr(self.runner, "expected", batch)

    def descend(self, images, iterations=None, targets=None):
        delta = np.maximum(images.transpose(0, 3, 1, 2).astype(np.float32) - 100, 0)
        delta[(images == 255).all((1, 2, 3))] = np.inf
        logits = images.reshape(len(images), -1)[:, :4].astype(np.float32)
        return Descent(delta, logits, logits.argmax(1))

    def descend_there(self, images):
        found = self.descend(images)
        fill = self.runner.expected - len(images)
        values = {"delta": found.delta, "pixels": images, "logits": found.logits, "targets": found.targets}
        padded = {name: np.concatenate([value, value[:1].repeat(fill, 0)]) for name, value in values.items()}
        return {name: on_device(value) for name, value in padded.items()}


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 250, (count, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize("there", [False, True])
def test_detections_are_those_of_the_cpu_and_nothing_is_allocated_anew(there, monkeypatch):
    if simulated():  # which has no streams of others
        monkeypatch.setattr(cuda, "external_stream", lambda handle: cuda.stream())
    descender = Brightness(there)
    cleanup = DeviceCleanup(descender, POST, keeps_raw=True)
    ours, plain = DeviceDescentMethod(descender, cleanup, 3), DescentMethod(descender, POST, 3)
    ours.pad_batches()
    allocated = []
    for count in (3, 2, 3):
        images = pixels(count, seed=count)
        images[1] = 255
        found = ours.detections(ours.compute(images), images)
        allocated.append(cleanup.workspace.allocations)
        expected = plain.detections(plain.compute(images), images)
        assert [one is None for one in found] == [one is None for one in expected] == [row == 1 for row in range(count)]
        for one, other in zip(found, expected, strict=True):
            if one is None:
                continue
            np.testing.assert_allclose(one.saliency.astype(int), other.saliency, atol=1)
            np.testing.assert_allclose(one.raw, other.raw, atol=1e-6)
            assert (one.target, one.label, one.score) == (other.target, other.label, other.score)
            np.testing.assert_allclose(one.magnitude, other.magnitude, rtol=1e-6)
    assert allocated[0] == allocated[1] == allocated[2] > 0
    assert ours.info.cleanup == "device"
    ours.cleanup.close()


@pytest.mark.skipif(not simulated(), reason="stands in for nvJPEG and PyTorch on a machine without a GPU")
def test_jpegs_become_grids_without_leaving_the_device(monkeypatch):
    monkeypatch.setattr(cuda, "external_stream", lambda handle: cuda.stream())
    waits = []

    def decode_jpeg(encoded, mode, device):
        assert waits and mode == "RGB" and device.index == 0
        waits.clear()
        return [planes_of(bytes(data)) for data in encoded]

    torch = SimpleNamespace(
        device=lambda name: SimpleNamespace(index=int(name[-1])),
        cuda=SimpleNamespace(
            Stream=lambda device: SimpleNamespace(cuda_stream=1, synchronize=lambda: waits.append(1)),
            stream=nullcontext,
            is_available=lambda: True,
            empty_cache=lambda: None,
        ),
        uint8=np.uint8,
        frombuffer=np.frombuffer,
        cat=lambda parts: on_device(np.concatenate(parts)),
    )
    monkeypatch.setattr(nvjpeg, "_libraries", lambda: (torch, decode_jpeg))
    files = [jpeg(13, 9), jpeg(6, 11)]
    for config in (DecodingConfig(8), DecodingConfig(8, promoter_size=5, resizing=Resizing("letterbox", "lanczos"))):
        batches = JpegBatches(config, nvjpeg.NvJpeg("cuda:0"))
        found = batches.decoded([batches.taken(data) for data in files])
        for one, data in zip(found, files, strict=True):
            expected = decode(data, config)
            np.testing.assert_array_equal(one.pixels, expected.pixels)
            np.testing.assert_array_equal(one.promoter_pixels, expected.promoter_pixels)
            assert one.frame == expected.frame
        batches.close()
    with pytest.raises(ValueError, match="another size"):
        batches.device.resized(files[:1], [([Resize((9, 9), (8, 8), False)], "bilinear")])


def jpeg(width, height):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def test_batches_under_way_do_not_share_what_they_bring_back():
    descender = Brightness()
    cleanup = DeviceCleanup(descender, POST, keeps_raw=False)
    first, second = pixels(2, 1), pixels(2, 2)
    under_way = [cleanup.start(first), cleanup.start(second)]
    levels = [batch.maps().levels for batch in under_way]
    assert (levels[0] != levels[1]).any()
    np.testing.assert_array_equal(cleanup.start(first).maps().levels, levels[0])
    assert len(cleanup.free) == 2 and cleanup.start(second).maps().raw is None


def test_memory_that_runs_out_is_given_back_and_the_batch_halved():
    class Small(Brightness):
        def descend(self, images, iterations=None, targets=None):
            if max(len(images), self.runner.expected) > 2:
                raise RuntimeError("CUDA out of memory")
            return super().descend(images, iterations, targets)

    descender = Small()
    method = DeviceDescentMethod(descender, DeviceCleanup(descender, POST, keeps_raw=True), 8)
    method.pad_batches()
    method.warm_up()
    images = pixels(5)
    assert len(method.detections(method.compute(images), images)) == 5 and method.batch_size == 2


def test_a_batch_of_which_nothing_could_be_read():
    method = DeviceDescentMethod(Brightness(), DeviceCleanup(Brightness(), POST, keeps_raw=True), 2)
    method.pad_batches()
    assert method.detections(method.compute(pixels(0)), pixels(0)) == []


def test_a_batch_longer_than_fits_is_begun_in_parts():
    method = DeviceDescentMethod(Brightness(), DeviceCleanup(Brightness(), POST, keeps_raw=True), 2)
    images = pixels(5)
    assert len(method.detections(method.compute(images), images)) == 5
