"""Runners without a network."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unsee.export.bundles.graphs import Graph
from unsee.export.runtime.runner import ONE_TURN, Arrays, Counters, Runner

Function = Callable[[Mapping[str, np.ndarray]], Arrays]


class FunctionRunner(Runner):
    """Runs a function of named arrays in every turn, or nothing."""

    def __init__(self, function: Function | None = None) -> None:
        super().__init__(Graph((), ()), "test", "cpu")
        self.function, self.closed = function, False

    def run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Arrays:
        assert self.function is not None and len(turns) == 1
        return self.function(inputs)

    def close(self) -> None:
        self.closed = True
