"""The session that runs a bundle's map.onnx with TensorRT itself, replayed as a CUDA graph."""

import numpy as np

from .map_bundle import MAP, MapBundle
from .map_sessions import MapSession
from .tensorrt_engine import TensorRtEngine


class TensorRtMapSession(MapSession):
    """TensorRT with a plan for one size of batch: smaller ones are padded, for a larger one another is built.

    precision: see `TensorRtEngine`.
    """

    def __init__(self, bundle: MapBundle, device: str = "auto", precision: str | None = None) -> None:
        self.engine = TensorRtEngine(bundle, device, precision)
        self.stream = self.engine.stream
        super().__init__(bundle.model_id, bundle.metadata, "tensorrt", str(self.engine.device))

    def _maps(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(inputs.values())))
        with self.engine.fitted(count, lambda batch: self._allocate(batch, inputs)) as batch:
            places = np.arange(batch) % count
            for name, value in inputs.items():
                self.stream.upload(np.ascontiguousarray(value[places]), self.addresses[name])
            self.launch()
            return self.stream.download(self.addresses[MAP], self.like)[:count]

    def _allocate(self, batch: int, inputs: dict[str, np.ndarray]) -> None:
        """Take the memory of a batch size, as large as these inputs, run it once, as TensorRT asks for, and capture it."""
        size = self.info.input_size
        self.like = np.zeros((batch, 1, size, size), np.float32)
        self.addresses = {name: self.stream.allocate(value.nbytes) for name, value in inputs.items()}
        self.addresses[MAP] = self.stream.allocate(self.like.nbytes)
        self.engine.enqueue(self.addresses)
        self.launch = self.stream.captured(lambda: self.engine.enqueue(self.addresses))
