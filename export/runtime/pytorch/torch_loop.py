"""All turns of a function of tensors on one device, over inputs that stay where they are: what can be captured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...bundles.graphs import Graph, TensorSpec
from ..runner import Counters

Function = Callable[..., Any]
"""From tensors in the order of a graph's inputs to its outputs, one tensor or a tuple."""
Tensors = dict[str, Tensor]
WARM_UPS = 2
"""Runs before the capture: of what is compiled, and of libraries that take memory of their own when they first run."""


class TorchLoop:
    """A function's turns for one size of batch: nothing is uploaded, and with a CUDA graph nothing launched, between them.

    turns: see `Runner.run`. place, dtype, layout: of all tensors of floats. captures: as one CUDA graph.
    """

    def __init__(
        self,
        function: Function,
        graph: Graph,
        batch: int,
        turns: Sequence[Counters],
        place: torch.device,
        dtype: torch.dtype,
        layout: torch.memory_format,
        captures: bool,
    ) -> None:
        self.function, self.graph, self.turns = function, graph, len(turns)
        self.place, self.dtype, self.layout = place, dtype, layout
        self.inputs = {spec.name: self._placed(spec, batch) for spec in graph.per_image}
        self.counters = {
            spec.name: torch.tensor([turn[spec.name] for turn in turns], dtype=_type(spec), device=place)
            for spec in graph.scalars
        }
        self.replay = captured(self._run_turns, place) if captures else self._run_turns

    def run(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        """Return the inputs as they were, and the outputs of the last turn; they hold until the next run.

        inputs: of the loop's size; an image [B,3,H,W] may be given as its pixels, uint8 [B,H,W,3], a quarter of the upload.
        """
        for name, value in inputs.items():
            self._load(name, torch.from_numpy(np.ascontiguousarray(value)))
        return {**self.inputs, **self.replay()}

    def _load(self, name: str, value: Tensor) -> None:
        """Copy a value to its place, where everything of the last run is still needed until that is over."""
        if self.place.type == "cuda":
            value = uploaded(value, self.place, _upload_stream(self.place))
        if value.dtype == torch.uint8:
            value = value.permute(0, 3, 1, 2)
        self.inputs[name].copy_(value)

    def _placed(self, spec: TensorSpec, batch: int) -> Tensor:
        value = torch.from_numpy(spec.zeros(batch))
        if not value.is_floating_point():
            return value.to(self.place)
        layout = self.layout if value.ndim == 4 else torch.preserve_format
        return value.to(self.place, self.dtype, memory_format=layout)

    @torch.no_grad()
    def _run_turns(self) -> Tensors:
        values, outputs = dict(self.inputs), {}
        for turn in range(self.turns):
            values |= {name: column[turn] for name, column in self.counters.items()}
            found = self.function(*(values[spec.name] for spec in self.graph.inputs))
            made = found if isinstance(found, (tuple, list)) else (found,)
            outputs = {spec.name: tensor for spec, tensor in zip(self.graph.outputs, made, strict=True)}
            values |= {name: outputs[f"next_{name}"] for name in self.graph.state}
        return outputs


def uploaded(value: Tensor, place: torch.device, stream: torch.cuda.Stream) -> Tensor:
    """Return a copy of a value on the device, made on a stream while the current one is still at work.

    The current stream waits for it, the caller does not, for it comes from pinned memory; a value that lies there is not
    copied there.
    """
    current = torch.cuda.current_stream(place)
    with torch.cuda.stream(stream):
        there = value.pin_memory().to(place, non_blocking=True)
    current.wait_stream(stream)
    there.record_stream(current)  # its memory is given out again once the current stream has read it
    return there


@cache
def _upload_stream(place: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(place)


def captured(run: Callable[[], Tensors], place: torch.device) -> Callable[[], Tensors]:
    """Return what replays all that `run` does on a CUDA device; its tensors, in and out, stay where they are.

    Other threads may use the device meanwhile.
    """
    stream = torch.cuda.Stream(place)
    stream.wait_stream(torch.cuda.current_stream(place))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream(place).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        outputs = run()

    def replay() -> Tensors:
        graph.replay()
        return outputs

    return replay


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Have CUDA's products rounded to TF32 within the block, or not, whatever the process has set."""
    products: Any = torch.backends.cuda.matmul
    convolutions: Any = torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def _type(spec: TensorSpec) -> torch.dtype:
    return getattr(torch, spec.type)
