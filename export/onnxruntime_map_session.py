"""The session that runs a bundle's map.onnx with ONNX Runtime, on the CPU or a CUDA device. No torch needed."""

from typing import Any

import numpy as np

from ..threads import usable_threads
from .map_bundle import MAP, MapBundle
from .map_sessions import MapSession
from .onnxruntime_lanes import Backend, Lanes

Inputs = dict[str, np.ndarray]


class OnnxRuntimeMapSession(MapSession):
    """ONNX Runtime; on the CPU every lane runs an image at a time, on CUDA a batch is padded (see `Lanes`).

    threads: of the CPU provider, all that the process may use where None.
    """

    def __init__(
        self,
        bundle: MapBundle,
        device: str = "auto",
        threads: int | None = None,
        backend: Backend = "onnxruntime",
    ) -> None:
        self.lanes = Lanes(bundle, device, threads or usable_threads(), backend)
        super().__init__(bundle.model_id, bundle.metadata, backend, str(self.lanes.device))
        self.lanes.start(lambda session: _Lane(self.lanes, session))

    def _maps(self, inputs: Inputs) -> np.ndarray:
        count = len(next(iter(inputs.values())))
        with self.lanes.fitted(count) as batch:
            places = np.arange(batch) % count  # repeats images where the batch has to be larger
            parts = np.array_split(places, min(self.lanes.count, len(places)))
            maps = self.lanes.run(parts, lambda lane, part: self._run(lane, inputs, part))
            return np.concatenate(maps)[:count]

    def _run(self, lane: "_Lane", inputs: Inputs, places: np.ndarray) -> np.ndarray:
        pieces = np.split(places, self.lanes.pieces(len(places)))
        return np.concatenate([lane.run({name: value[piece] for name, value in inputs.items()}) for piece in pieces])


class _Lane:
    """Runs its part of every batch in memory of its own, bound to the graph once for each batch size."""

    def __init__(self, lanes: Lanes, session: Any) -> None:
        self.lanes, self.session = lanes, session
        self.batch = 0

    def run(self, inputs: Inputs) -> np.ndarray:
        """Return a copy of the maps."""
        image = next(iter(inputs.values()))
        if self.batch != len(image):
            self._bind(inputs, np.zeros((len(image), 1, *image.shape[2:]), np.float32))
        for name, value in inputs.items():
            self.inputs[name].update_inplace(value)
        self.session.run_with_iobinding(self.binding, self.options)
        return self.maps.numpy().copy()

    def _bind(self, inputs: Inputs, maps: np.ndarray) -> None:
        self.batch = len(maps)
        self.options = self.lanes.run_options(0)
        self.binding = self.session.io_binding()
        self.inputs = {name: self.lanes.on_device(value) for name, value in inputs.items()}
        self.maps = self.lanes.on_device(maps)
        for name, value in self.inputs.items():
            self.binding.bind_ortvalue_input(name, value)
        self.binding.bind_ortvalue_output(MAP, self.maps)
