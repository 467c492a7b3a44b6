"""The runner of TensorRT itself, which replays all turns as one CUDA graph."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...bundles.bundle import Bundle, Contents
from ..runner import ONE_TURN, Arrays, Counters, Runner, count_of, first, padded
from .tensorrt_engine import TensorRtEngine

Key = tuple[tuple[float, ...], ...]


class TensorRtRunner(Runner):
    """TensorRT with a plan for one size of batch: smaller ones are padded, for a larger one another is built.

    threads: not used. precision: see `TensorRtEngine`.
    """

    def __init__(
        self,
        bundle: Bundle[Contents],
        device: str = "auto",
        threads: int | None = None,  # noqa: ARG002
        backend: str = "tensorrt",
        precision: str = "auto",
    ) -> None:
        self.engine = TensorRtEngine(bundle, device, precision)
        self.stream = self.engine.stream
        super().__init__(bundle.graph, backend, str(self.engine.device), self.engine.precision)

    def run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Arrays:
        """See `Runner.run`."""
        count = count_of(inputs)
        with self.engine.fitted(max(count, self.expected), self._allocate) as batch:
            for name, value in padded(inputs, batch).items():
                self.stream.upload(np.ascontiguousarray(value), self.inputs[name])
            self._loop(turns)
            written = self._written(len(turns) - 1)
            likes = {spec.name: spec.zeros(batch) for spec in self.graph.outputs}
            return first({name: self.stream.download(written[name], like) for name, like in likes.items()}, count)

    def close(self) -> None:
        """See `Runner.close`."""
        self.engine.close()

    def _allocate(self, batch: int) -> None:
        """Take the memory of a batch size."""
        self.inputs, self.outputs = (
            {spec.name: self.stream.allocate(spec.zeros(batch).nbytes) for spec in specs}
            for specs in (self.graph.per_image, self.graph.outputs)
        )
        self.graphs: dict[Key, Callable[[], None]] = {}

    def _loop(self, turns: Sequence[Counters]) -> None:
        """Launch the captured loop; the first time, run it once uncaptured, as TensorRT asks for, and capture it."""
        key = tuple(tuple(counters[spec.name] for spec in self.graph.scalars) for counters in turns)
        if key not in self.graphs:
            columns = zip(self.graph.scalars, zip(*key, strict=True), strict=True) if self.graph.scalars else ()
            counters = {spec.name: np.array(values, spec.type) for spec, values in columns}
            addresses = {name: self.stream.uploaded(values) for name, values in counters.items()}
            sizes = {name: values.itemsize for name, values in counters.items()}
            state = {name: self.stream.saved(self.inputs[name]) for name in self.graph.state}

            def enqueue() -> None:
                for turn in range(len(turns)):
                    places = {name: address + turn * sizes[name] for name, address in addresses.items()}
                    self.engine.enqueue({**self._read(turn), **places, **self._written(turn)})

            enqueue()
            for name, saved in state.items():
                self.stream.restore(saved, self.inputs[name])
            self.graphs[key] = self.stream.captured(enqueue)
        self.graphs[key]()

    def _read(self, turn: int) -> dict[str, int]:
        """Return the addresses of what a turn reads: every second one reads the state that the one before wrote."""
        state = {name: self.outputs[f"next_{name}"] for name in self.graph.state} if turn % 2 else {}
        return {**self.inputs, **state}

    def _written(self, turn: int) -> dict[str, int]:
        """Return the addresses of what a turn writes."""
        state = {f"next_{name}": self.inputs[name] for name in self.graph.state} if turn % 2 else {}
        return {**self.outputs, **state}
