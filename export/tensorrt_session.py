"""The session that runs a bundle's step with TensorRT itself, as one CUDA graph of all iterations."""

from collections.abc import Callable

import numpy as np

from .bundle import Bundle, check_constants
from .config import DescentConfig
from .sessions import STATE, SessionInfo, State, SteppingSession
from .tensorrt_engine import TensorRtEngine


class TensorRtSession(SteppingSession):
    """TensorRT with a plan for one size of batch: smaller ones are padded, for a larger one another is built.

    precision: see `TensorRtEngine`.
    """

    def __init__(
        self, bundle: Bundle, config: DescentConfig, device: str = "auto", precision: str | None = None
    ) -> None:
        check_constants(bundle, config)
        self.engine = TensorRtEngine(bundle, device, precision)
        self.stream = self.engine.stream
        info = SessionInfo(bundle.model_id, bundle.labels, bundle.input.size, "tensorrt", str(self.engine.device))
        super().__init__(info, config)

    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """See `SteppingSession.advance`."""
        count = len(state.image)
        with self.engine.fitted(count, self._allocate) as batch:
            padded = state.padded(batch)
            for name, value in padded.named().items():
                self.stream.upload(value, self.states[0][name])
            self._loop(first, iterations)
            last = self.states[iterations % 2]
            return State(*(self.stream.download(last[name], like)[:count] for name, like in padded.named().items()))

    def _allocate(self, batch: int) -> None:
        """Take the memory of a batch size."""
        like = State.empty(batch, self.info.input_size, len(self.info.labels)).named()
        self.states = [{name: self.stream.allocate(value.nbytes) for name, value in like.items()} for _ in range(2)]
        self.logits = self.stream.allocate(like["reference"].nbytes)
        self.graphs: dict[tuple[int, int], Callable[[], None]] = {}

    def _loop(self, first: int, iterations: int) -> None:
        """Launch the captured loop; the first time, run it once uncaptured, as TensorRT asks for, and capture it."""
        key = (first, iterations)
        if key not in self.graphs:
            numbers = np.arange(first, first + iterations, dtype=np.int64)
            sizes = np.array([self.config.step_at(number) for number in range(first, first + iterations)], np.float32)
            counters = self.stream.uploaded(numbers), self.stream.uploaded(sizes)
            state = [self.stream.saved(self.states[0][name]) for name in STATE]
            self._enqueue(iterations, *counters)
            for name, saved in zip(STATE, state, strict=True):
                self.stream.restore(saved, self.states[0][name])
            self.graphs[key] = self.stream.captured(lambda: self._enqueue(iterations, *counters))
        self.graphs[key]()

    def _enqueue(self, iterations: int, numbers: int, sizes: int) -> None:
        """Enqueue every iteration; numbers, sizes: addresses of the iterations' numbers and step sizes."""
        for turn in range(iterations):
            read, written = self.states[turn % 2], self.states[1 - turn % 2]
            addresses = {**read, **{f"next_{name}": address for name, address in written.items()}}
            addresses |= {"iteration": numbers + 8 * turn, "step_size": sizes + 4 * turn, "logits": self.logits}
            self.engine.enqueue(addresses)
