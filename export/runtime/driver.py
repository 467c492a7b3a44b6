"""Asking NVIDIA's driver which GPUs there are, in its own words: a driver that is loaded may have none to offer."""

import ctypes
from functools import cache

LIBRARIES = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")
SUCCESS = 0
LONGEST_NAME = 256
"""Bytes of a GPU's name that are asked for."""


@cache
def cuda_devices() -> tuple[str, ...]:
    """Return the names of the GPUs that this process can use; none where there is no driver, or it cannot be started.

    The driver honours CUDA_VISIBLE_DEVICES, as it was when this was first asked.
    """
    driver = _driver()
    count = ctypes.c_int()
    if driver is None or driver.cuInit(0) != SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != SUCCESS:
        return ()
    return tuple(_name(driver, index) for index in range(count.value))


def _driver() -> ctypes.CDLL | None:
    for library in LIBRARIES:
        try:
            return ctypes.CDLL(library)
        except OSError:
            continue
    return None


def _name(driver: ctypes.CDLL, index: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(LONGEST_NAME)
    if driver.cuDeviceGet(ctypes.byref(device), index) == SUCCESS:
        driver.cuDeviceGetName(name, LONGEST_NAME, device)
    return name.value.decode(errors="replace") or f"GPU {index}"
