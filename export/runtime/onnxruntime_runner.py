"""The runner of ONNX Runtime, on the CPU or a CUDA device. No torch needed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...threads import usable_threads
from ..bundles.bundle import Bundle, Contents
from ..bundles.graphs import Graph
from .onnxruntime_lanes import Backend, Lanes
from .runner import ONE_TURN, Arrays, Counters, Runner, count_of, first, joined, padded, split


class OnnxRuntimeRunner(Runner):
    """ONNX Runtime with bound, reused buffers: between turns nothing is copied but the counters.

    On the CPU the images of all batches that are run at once are spread over lanes, which take one at a time: its
    activations stay in the cache, and no result can depend on batch mates. On CUDA a batch is padded (see `Lanes`), and the
    graph is replayed as a CUDA graph. threads: of the CPU provider, all that the process may use where None.
    """

    def __init__(
        self,
        bundle: Bundle[Contents],
        device: str = "auto",
        threads: int | None = None,
        backend: Backend = "onnxruntime",
        precision: str = "auto",
    ) -> None:
        self.lanes = Lanes(bundle, device, threads or usable_threads(), backend, precision)
        super().__init__(bundle.graph, backend, str(self.lanes.device), self.lanes.precision)
        self.takes_several = not self.lanes.device.is_cuda
        self.lanes.start(lambda session: _Lane(self.lanes, session, self.graph))

    def run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Arrays:
        """See `Runner.run`."""
        count = count_of(inputs)
        with self.lanes.fitted(max(count, self.expected) if self.lanes.device.is_cuda else count) as batch:
            parts = split(padded(inputs, batch), self.lanes.parts(batch))
            ends = self.lanes.run(parts, lambda lane, part: lane.run(part, turns))
            return first(joined(ends), count)

    def close(self) -> None:
        """See `Runner.close`."""
        self.lanes.close()


class _Lane:
    """Runs its part of every batch in memory of its own."""

    def __init__(self, lanes: Lanes, session: Any, graph: Graph) -> None:
        self.lanes, self.session, self.graph = lanes, session, graph
        self.buffers: _Buffers | None = None

    def run(self, inputs: Arrays, turns: Sequence[Counters]) -> Arrays:
        """Run the turns and return copies of the outputs."""
        batch = count_of(inputs)
        if self.buffers is None or self.buffers.batch != batch:
            self.buffers = _Buffers(self.lanes, self.session, self.graph, batch)
        return self.buffers.run(inputs, turns)


class _Buffers:
    """Device memory of one batch size: the state is there twice, each turn reads one copy and writes the other."""

    def __init__(self, lanes: Lanes, session: Any, graph: Graph, batch: int) -> None:
        self.batch, self.session, self.graph = batch, session, graph
        self.inputs = {spec.name: lanes.on_device(spec.zeros(batch)) for spec in graph.inputs}
        self.outputs = {spec.name: lanes.on_device(spec.zeros(batch)) for spec in graph.outputs}
        sides = range(2 if graph.state else 1)
        self.bindings = [self._bound(side) for side in sides]
        self.options = [lanes.run_options(side) for side in sides]

    def run(self, inputs: Arrays, turns: Sequence[Counters]) -> Arrays:
        """Run the turns and return copies of the outputs."""
        for name, value in inputs.items():
            self.inputs[name].update_inplace(value)
        for turn, counters in enumerate(turns):
            for spec in self.graph.scalars:
                self.inputs[spec.name].update_inplace(np.array(counters[spec.name], spec.type))
            side = turn % len(self.bindings)
            self.session.run_with_iobinding(self.bindings[side], self.options[side])
        written = self._written((len(turns) - 1) % len(self.bindings))
        return {name: value.numpy().copy() for name, value in written.items()}

    def _bound(self, side: int) -> Any:
        binding = self.session.io_binding()
        for name, value in self._read(side).items():
            binding.bind_ortvalue_input(name, value)
        for name, value in self._written(side).items():
            binding.bind_ortvalue_output(name, value)
        return binding

    def _read(self, side: int) -> dict[str, Any]:
        """Return what a turn of that side reads: its inputs, on the second side with the state that the first one wrote."""
        state = {name: self.outputs[f"next_{name}"] for name in self.graph.state} if side else {}
        return {**self.inputs, **state}

    def _written(self, side: int) -> dict[str, Any]:
        """Return what a turn of that side writes: its outputs, on the second side the state back to where it began."""
        state = {f"next_{name}": self.inputs[name] for name in self.graph.state} if side else {}
        return {**self.outputs, **state}
