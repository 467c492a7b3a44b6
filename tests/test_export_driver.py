"""Asking the driver for GPUs: what it says counts, not that it is there."""

import ctypes

import pytest

from unsee.export.runtime import driver


class FakeDriver:
    """The functions of libcuda; code: what starting it answers."""

    def __init__(self, code, *names):
        self.code, self.names = code, names

    def cuInit(self, flags):
        return self.code

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.names)
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name, length, device):
        name.value = self.names[device.value].encode()
        return 0


@pytest.fixture(autouse=True)
def _asked_anew():
    driver.cuda_devices.cache_clear()
    yield
    driver.cuda_devices.cache_clear()


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        (FakeDriver(0, "NVIDIA H100", "NVIDIA A10"), ("NVIDIA H100", "NVIDIA A10")),
        (FakeDriver(0), ()),  # CUDA_VISIBLE_DEVICES is empty
        (FakeDriver(999, "NVIDIA H100"), ()),  # loaded, but it does not start: CUDA_ERROR_UNKNOWN
    ],
)
def test_gpus_are_those_that_a_driver_that_starts_offers(library, expected, monkeypatch):
    monkeypatch.setattr(driver, "_driver", lambda: library)
    assert driver.cuda_devices() == expected


def test_no_driver_is_no_gpu(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert driver.cuda_devices() == ()
