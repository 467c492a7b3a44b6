"""A network file run as a plain script would: what a wrapped network is measured against."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import UnseeError
from ...extras import require
from ...train.networks.maps.network_input import Activation, NetworkInput
from ...train.networks.metadata import written_sides
from .network_files import NetworkFile, Output
from .specifications import are_of_a_map


def quiet_session(runtime: Any, path: Path) -> Any:
    """Open a graph on the CPU; what it cannot run is an exception, and nothing on the screen."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class PlainNetwork:
    """ONNX Runtime on the CPU, an image at a time, with NumPy around it."""

    def __init__(self, file: NetworkFile, spec: NetworkInput, output: Output) -> None:
        self.file, self.spec, self.output = file, spec, output
        runtime: Any = require("onnxruntime", "cpu", "running a network")
        try:
            self.session = quiet_session(runtime, file.path)
        except Exception as error:  # the runtime's exceptions have no common class
            raise self._refused(error) from None

    def raw(self, images: np.ndarray) -> np.ndarray:
        """Return the values of the output, float32 [B,h,w], of images uint8 [B,S,S,3]; `UnseeError` where it is no map.

        Of sides that are not equal the network sees the top left of the images.
        """
        return np.stack([self._raw(image) for image in images])

    def maps(self, images: np.ndarray, activation: Activation) -> np.ndarray:
        """Return maps, float32 [B,S,S] in 0..1, of images uint8 [B,S,S,3]."""
        return np.stack([self._map(one, activation) for one in self.raw(images)])

    def _raw(self, image: np.ndarray) -> np.ndarray:
        try:
            value = np.asarray(self.session.run([self.output.name], {self.file.image.name: self._input(image)})[0])
        except Exception as error:  # as above
            raise self._refused(error) from None
        sides = [side for side in value.shape if side != 1] or [1]
        if not are_of_a_map(sides, self.spec.sides) or max(sides) > self.spec.size:
            others, shape = ", ".join(map(str, self.file.outputs)), written_sides(self.spec.sides)
            raise UnseeError(
                f"{self.file.path}: its output {self.output.name} is {list(value.shape)} for one image of {shape}, not one "
                f"map: name another with --output-name ({others})"
            )
        return value.reshape(sides).astype(np.float32) / (255 if value.dtype == np.uint8 else 1)

    def _input(self, image: np.ndarray) -> np.ndarray:
        spec, (height, width) = self.spec, self.spec.sides
        seen = image[:height, :width]
        pixels = seen[..., ::-1] if spec.channel_order == "BGR" else seen
        largest = max(int(pixels.max()), 1e-6) if spec.scale == "largest" else 255
        scaled = (pixels / largest * spec.range - np.array(spec.mean)) / np.array(spec.std)
        ordered = scaled if self.file.image.channels_last else scaled.transpose(2, 0, 1)
        if self.file.image.type == "uint8":
            ordered = np.rint(ordered)
        return np.ascontiguousarray(ordered[None], self.file.image.type)

    def _map(self, value: np.ndarray, activation: Activation) -> np.ndarray:
        if activation in ("sigmoid", "sigmoid-minmax"):
            with np.errstate(over="ignore"):
                value = 1 / (1 + np.exp(-value))
        if activation in ("minmax", "sigmoid-minmax"):
            low, high = value.min(), value.max()
            value = (value - low) / (high - low) if high > low else np.zeros_like(value)
        height, width = self.spec.sides
        if value.shape != (height, width):
            value = np.asarray(Image.fromarray(value, "F").resize((width, height), Image.Resampling.BILINEAR))
        size = self.spec.size
        return np.pad(np.clip(value, 0, 1), ((0, size - height), (0, size - width)))

    def _refused(self, error: Exception) -> UnseeError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        sides = written_sides(self.spec.sides)
        return UnseeError(
            f"{self.file.path}: ONNX Runtime cannot run it on an image of {sides} (--input-size): {reason}"
        )
