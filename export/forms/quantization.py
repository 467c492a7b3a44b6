"""Static quantisation of a network's graph to 8 bits: weights by channel, activations by what photographs show."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...extras import require
from ...terminal import quieted


def quantize(path: Path, name: str, images: np.ndarray) -> None:
    """Replace an ONNX file by the quantised one, calibrated on images, uint8 [B,S,S,3], which its input `name` takes.

    Quantise and dequantise operators stand round every layer (QDQ), so that the graph stays one of standard operators.
    """
    tools = require("onnxruntime.quantization", "cpu", "quantising a network")
    preprocess = require("onnxruntime.quantization.shape_inference", "cpu", "quantising a network")
    with TemporaryDirectory() as folder, quieted():
        prepared = Path(folder) / "prepared.onnx"
        preprocess.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        tools.quantize_static(
            str(prepared),
            str(path),
            _reader(tools, name, images),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )


def _reader(tools: Any, name: str, images: np.ndarray) -> Any:
    """Return what hands the images out one by one, as the graph takes them."""
    pixels = iter(images)

    class Reader(tools.CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(pixels, None)
            return None if image is None else {name: image.transpose(2, 0, 1)[None].astype(np.float32)}

    return Reader()
