"""The contract of every runtime: a runner takes a batch through a graph, turn by turn (design section 2)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import numpy as np

from ...errors import UnseeError
from ..bundles.bundle import Bundle, Contents
from ..bundles.graphs import Graph
from .backends import RUNNERS, TORCH_BACKENDS, check_backend

Arrays = dict[str, np.ndarray]
Counters = Mapping[str, float]
ONE_TURN: tuple[Counters, ...] = ({},)


class Runner(ABC):
    """A graph on a device. backend, device, precision: what runs it, where, and in which precision (see `RunPrecision`)."""

    def __init__(self, graph: Graph, backend: str, device: str, precision: str = "fp32") -> None:
        self.graph, self.backend, self.device, self.precision = graph, backend, device, precision
        self.expected = 0

    def expect(self, batch: int) -> None:
        """Say how many images the batches to come have: on a GPU smaller ones are padded to that from the first.

        A graph whose batch of one is built in is never padded.
        """
        self.expected = batch if self.graph.takes_batches else 0

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Arrays:
        """Return the outputs of the last turn, each image's on its own whatever its batch mates.

        inputs: all that are no counters, of a batch that is not empty. turns: the counters of each turn; the whole loop
        stays on the device.
        """

    takes_several: bool = False
    """Whether several threads may call `run` at once: their batches then follow one another without a pause."""

    stream_handle: int | None = None
    """The CUDA stream that the runner works on, where it can leave its outputs on the device."""

    def run_there(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> dict[str, Any]:
        """Run as `run` does, and leave inputs and outputs on the device, padded, until the next run.

        Nothing waits for the device: what follows goes to the same stream, within `at_work`.
        """
        raise NotImplementedError

    def batch_memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory for the pixels of a batch, uint8: that from which they are uploaded the fastest."""
        return np.empty(shape, np.uint8)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the runner's library use its stream within the block."""
        yield

    @abstractmethod
    def close(self) -> None:
        """Give back threads and memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_runner(
    bundle: Bundle[Contents],
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
) -> Runner:
    """Open a runner on a bundle that has been read. backend: auto is ONNX Runtime. threads: of the CPU, all where None.

    precision: see `bundle_precision`. Raises `DeviceUnavailableError` where the device or backend asked for cannot be used:
    there is no silent fallback.
    """
    check_backend(backend)
    if backend in TORCH_BACKENDS:
        raise UnseeError(f"{bundle.directory} is a bundle, which holds no PyTorch network: use its checkpoint")
    chosen = "onnxruntime" if backend == "auto" else backend
    module, _, name = RUNNERS[chosen].rpartition(".")
    runner: Any = getattr(import_module(f".{module}", __package__), name)
    return runner(bundle, device, threads, chosen, precision)


def count_of(inputs: Mapping[str, np.ndarray]) -> int:
    """Return how many images a batch has."""
    return len(next(iter(inputs.values())))


def padded(inputs: Mapping[str, np.ndarray], batch: int) -> Arrays:
    """Return a batch that repeats this one's images where it has to be larger."""
    count = count_of(inputs)
    if count == batch:
        return dict(inputs)
    places = np.arange(batch) % count
    return {name: value[places] for name, value in inputs.items()}


def split(inputs: Mapping[str, np.ndarray], parts: int) -> list[Arrays]:
    """Return so many parts of nearly equal size, fewer where there are not as many images."""
    pieces = {name: np.array_split(value, min(parts, len(value))) for name, value in inputs.items()}
    return [dict(zip(pieces, part, strict=True)) for part in zip(*pieces.values(), strict=True)]


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Return the batch of which `parts` are the parts."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def first(outputs: Arrays, count: int) -> Arrays:
    """Return the outputs of the first images."""
    return {name: value[:count] for name, value in outputs.items()}
