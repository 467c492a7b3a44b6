"""From the descended difference to 8-bit maps without leaving the GPU, and without waiting for it.

What computes goes on with the next batch while the maps of this one are on their way: they come back into pinned memory,
and whoever wants them waits for their own event only.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np

from ...errors import DeviceUnavailableError
from ...export.runtime.descender import Descender
from ...export.runtime.runner import padded
from ...kernels.device import to_device, viewed
from ...kernels.eight_bits import to_levels
from ...kernels.workspace import Workspace, load_cuda
from .postprocess import Finished, finish
from .presets import Cleanup, PostConfig


def cleans_up_on_device(wanted: Cleanup, descender: Descender) -> bool:
    """Say whether maps are finished on the device that descends: on a GPU, unless the CPU is asked for.

    Raises `DeviceUnavailableError` where it is asked for and there is none.
    """
    on_gpu = descender.info.device.startswith("cuda")
    if wanted == "device" and not on_gpu:
        raise DeviceUnavailableError(
            f"--cleanup device needs a network that runs on a GPU, and this one runs on {descender.info.device}"
        )
    return wanted == "device" or (wanted == "auto" and on_gpu and find_spec("numba_cuda") is not None)


class OnItsWay:
    """A batch whose maps are being made; its pinned memory is given back when they are taken."""

    def __init__(
        self, pinned: dict[str, np.ndarray], event: Any, gpu: Any, count: int, free: list[dict[str, np.ndarray]]
    ) -> None:
        self.pinned, self.event, self.gpu, self.count, self.free = pinned, event, gpu, count, free

    def maps(self) -> Finished:
        """Wait for the maps, in whichever thread, and return them; once."""
        with self.gpu:
            self.event.synchronize()
        found = {name: value[: self.count].copy() for name, value in self.pinned.items()}
        self.free.append(self.pinned)
        return Finished(**found)


class DeviceCleanup:
    """Descends, and finishes the maps on the same GPU. keeps_raw: whether maps before any clean-up are wanted, too."""

    def __init__(self, descender: Descender, post: PostConfig, keeps_raw: bool) -> None:
        self.descender, self.post, self.keeps_raw = descender, post, keeps_raw
        self.gpu = load_cuda().gpus[int(descender.info.device.rpartition(":")[2])]
        with self.gpu:
            self.workspace = Workspace(descender.runner.stream_handle)
        self.free: list[dict[str, np.ndarray]] = []

    def start(self, images: np.ndarray) -> OnItsWay:
        """Begin a batch, images uint8 [B,S,S,3]; what it needs of the device is in the stream when this returns."""
        try:
            return self._started(images)
        except Exception:
            self.close()  # a smaller batch needs the memory of this one
            raise

    def close(self) -> None:
        """Give back the device's memory."""
        self.workspace.release()
        self.free.clear()

    def _started(self, images: np.ndarray) -> OnItsWay:
        with self.gpu, self.descender.runner.at_work(), self.workspace.batch():
            found = self._descended(images)
            maps = finish(found.pop("delta"), found.pop("pixels"), self.post)
            found |= {"levels": to_levels(maps.final), "magnitude": maps.magnitude, "diverged": maps.diverged}
            if self.keeps_raw:
                found["raw"] = maps.raw
            return self._fetched(found, len(images))

    def _descended(self, images: np.ndarray) -> dict[str, Any]:
        """Return delta, pixels, logits and targets, padded, on the device."""
        runner = self.descender.runner
        if runner.stream_handle is not None:
            return self.descender.descend_there(images)
        descent = self.descender.descend(images)
        values = {"delta": descent.delta, "pixels": images, "logits": descent.logits, "targets": descent.targets}
        return {name: to_device(value) for name, value in padded(values, max(len(images), runner.expected)).items()}

    def _fetched(self, found: dict[str, Any], count: int) -> OnItsWay:
        """Have arrays copied to memory that belongs to this batch until it is taken."""
        cuda, stream = load_cuda(), self.workspace.stream
        there = {name: viewed(value) for name, value in found.items()}
        pinned = self._pinned(there)
        for name, value in there.items():
            value.copy_to_host(pinned[name], stream=stream)
        event = cuda.event()
        event.record(stream)
        return OnItsWay(pinned, event, self.gpu, count, self.free)

    def _pinned(self, like: dict[str, Any]) -> dict[str, np.ndarray]:
        while self.free:
            pinned = self.free.pop()
            if all(pinned[name].shape == tuple(value.shape) for name, value in like.items()):
                return pinned
        return {name: load_cuda().pinned_array(value.shape, value.dtype) for name, value in like.items()}
