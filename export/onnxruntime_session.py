"""The session that runs a bundle's step.onnx with ONNX Runtime, on the CPU or a CUDA device. No torch needed."""

from typing import Any

import numpy as np

from ..threads import usable_threads
from .bundle import Bundle, check_constants
from .config import DescentConfig
from .onnxruntime_lanes import Backend, Lanes
from .sessions import STATE, SessionInfo, State, SteppingSession


class OnnxRuntimeSession(SteppingSession):
    """ONNX Runtime with bound, reused buffers: between iterations nothing is copied but two scalars.

    On the CPU a batch is split over lanes, which run an image at a time: its activations stay in the cache, and no result
    can depend on batch mates. On CUDA it is padded (see `Lanes`), and the step is replayed as a
    CUDA graph. threads: of the CPU provider, all that the process may use where None.
    """

    def __init__(
        self,
        bundle: Bundle,
        config: DescentConfig,
        device: str = "auto",
        threads: int | None = None,
        backend: Backend = "onnxruntime",
    ) -> None:
        check_constants(bundle, config)
        self.lanes = Lanes(bundle, device, threads or usable_threads(), backend)
        info = SessionInfo(
            bundle.model_id, bundle.labels, bundle.input.size, self.lanes.backend, str(self.lanes.device)
        )
        super().__init__(info, config)
        self.lanes.start(self._lane)

    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """See `SteppingSession.advance`."""
        count = len(state.image)
        steps = [(number, self.config.step_at(number)) for number in range(first, first + iterations)]
        with self.lanes.fitted(count) as batch:
            parts = state.padded(batch).split(self.lanes.count)
            ends = self.lanes.run(parts, lambda lane, part: self._run(lane, part, steps))
            return State.joined(ends).first(count)

    def _run(self, lane: "_Lane", part: State, steps: list[tuple[int, float]]) -> State:
        return State.joined([lane.run(piece, steps) for piece in part.split(self.lanes.pieces(len(part.image)))])

    def _lane(self, session: Any) -> "_Lane":
        return _Lane(self.lanes, session, self.info.input_size, len(self.info.labels))


class _Lane:
    """Runs its part of every batch in memory of its own."""

    def __init__(self, lanes: Lanes, session: Any, size: int, classes: int) -> None:
        self.lanes, self.session = lanes, session
        self.shape = (size, classes)
        self.buffers: _Buffers | None = None

    def run(self, state: State, steps: list[tuple[int, float]]) -> State:
        """Run the iterations of the given numbers and step sizes."""
        batch = len(state.image)
        if self.buffers is None or self.buffers.batch != batch:
            self.buffers = _Buffers(self.lanes, self.session, State.empty(batch, *self.shape))
        self.buffers.load(state)
        for turn, (number, step_size) in enumerate(steps):
            self.buffers.run(self.session, turn, number, step_size)
        return self.buffers.state(len(steps))


class _Buffers:
    """Device memory of one batch size: two copies of the state, each iteration reads one and writes the other."""

    def __init__(self, lanes: Lanes, session: Any, empty: State) -> None:
        self.batch = len(empty.image)
        self.states = [{name: lanes.on_device(value) for name, value in empty.named().items()} for _ in range(2)]
        self.iteration = lanes.on_device(np.zeros((), np.int64))
        self.step_size = lanes.on_device(np.zeros((), np.float32))
        self.logits = lanes.on_device(empty.reference)
        self.bindings = [self._bind(session, self.states[turn], self.states[1 - turn]) for turn in range(2)]
        self.options = [lanes.run_options(turn) for turn in range(2)]

    def load(self, state: State) -> None:
        """Set the state that the first iteration reads."""
        for name, value in state.named().items():
            self.states[0][name].update_inplace(value)

    def run(self, session: Any, turn: int, iteration: int, step_size: float) -> None:
        """Run one iteration, the `turn`-th since `load`."""
        self.iteration.update_inplace(np.array(iteration, np.int64))
        self.step_size.update_inplace(np.array(step_size, np.float32))
        session.run_with_iobinding(self.bindings[turn % 2], self.options[turn % 2])

    def state(self, turns: int) -> State:
        """Return a copy of the state after so many iterations."""
        last = self.states[turns % 2]
        return State(*(last[name].numpy().copy() for name in STATE))

    def _bind(self, session: Any, read: dict[str, Any], written: dict[str, Any]) -> Any:
        binding = session.io_binding()
        for name in STATE:
            binding.bind_ortvalue_input(name, read[name])
            binding.bind_ortvalue_output(f"next_{name}", written[name])
        binding.bind_ortvalue_input("iteration", self.iteration)
        binding.bind_ortvalue_input("step_size", self.step_size)
        binding.bind_ortvalue_output("logits", self.logits)
        return binding
