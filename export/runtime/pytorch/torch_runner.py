"""The runner of PyTorch, eager or compiled."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from ....errors import DeviceUnavailableError
from ...bundles.graphs import Graph
from ..backends import check_device
from ..runner import ONE_TURN, Arrays, Counters, Runner, count_of, joined, padded, split
from .torch_loop import Function, Tensors, TorchLoop, arithmetic

Key = tuple[tuple[float, ...], ...]


class TorchRunner(Runner):
    """PyTorch on a CPU or a CUDA device; channels last is the faster memory format on both.

    On the CPU every image is run by itself, on lanes of one thread each: PyTorch's convolutions round differently for
    another batch size, which a descent multiplies, and threads that wait for one another take minutes on a busy machine.
    On CUDA all turns are one CUDA graph (see `TorchLoop`), and batches are padded to the size that it was captured for.
    backend: torch, torch-compile, whose compiler fuses the function, or aot, for which it is compiled already. dtype: of all
    tensors of floats. precision: fp32, or tf32, of their products. captures: whether turns are captured, None for on CUDA.
    """

    def __init__(
        self,
        function: Function,
        graph: Graph,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        layout: torch.memory_format = torch.channels_last,
        backend: str = "torch",
        precision: str = "fp32",
        captures: bool | None = None,
    ) -> None:
        super().__init__(graph, backend, str(device), precision)
        self.place, self.dtype, self.layout = device, dtype, layout
        self.captures = device.type == "cuda" if captures is None else captures
        self.function = torch.compile(function, dynamic=False) if backend == "torch-compile" else function
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.stream_handle = self.stream.cuda_stream if self.stream else None
        self.loops: dict[Key, TorchLoop] = {}
        self.size = 0
        self.lanes = None
        if backend == "torch" and not self.captures:
            self.lanes = ThreadPoolExecutor(torch.get_num_threads(), "lane", lambda: torch.set_num_threads(1))

    def run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Arrays:
        """See `Runner.run`; images may be given as pixels (see `TorchLoop.run`)."""
        if self.lanes is None:
            with self.at_work():
                return self._downloaded(self.run_there(inputs, turns), count_of(inputs))
        images = split(inputs, count_of(inputs))
        return joined(list(self.lanes.map(lambda image: self._downloaded(self._loop(1, turns).run(image), 1), images)))

    def run_there(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Tensors:
        """See `Runner.run_there`."""
        count = count_of(inputs)
        if not self.captures:
            return self._loop(count, turns).run(inputs)
        try:
            self._fit(max(count, self.expected, self.size))
            with arithmetic(self.precision):
                return self._kept_loop(turns).run(padded(inputs, self.size))
        except Exception:
            self._fit(0)
            raise

    def batch_memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `Runner.batch_memory`: pinned for a GPU, so that what computes need not copy a batch before it is uploaded."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self.place.type == "cuda").numpy()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """See `Runner.at_work`."""
        with torch.cuda.stream(self.stream):  # does nothing where there is none
            yield

    def close(self) -> None:
        """See `Runner.close`."""
        self._fit(0)
        if self.lanes is not None:
            self.lanes.shutdown(wait=False)

    def _downloaded(self, found: Tensors, count: int) -> Arrays:
        return {spec.name: _array(found[spec.name][:count]) for spec in self.graph.outputs}

    def _fit(self, size: int) -> None:
        """Give back the memory of another size of batch, 0 for all."""
        if size != self.size:
            self.size, self.loops = size, {}
            if self.place.type == "cuda":
                torch.cuda.empty_cache()

    def _kept_loop(self, turns: Sequence[Counters]) -> TorchLoop:
        key = tuple(tuple(counters[spec.name] for spec in self.graph.scalars) for counters in turns)
        if key not in self.loops:
            self.loops[key] = self._loop(self.size, turns)
        return self.loops[key]

    def _loop(self, batch: int, turns: Sequence[Counters]) -> TorchLoop:
        return TorchLoop(
            self.function, self.graph, batch, turns, self.place, self.dtype, self.layout, captures=self.captures
        )


def _array(tensor: torch.Tensor) -> np.ndarray:
    floats = tensor.float() if tensor.is_floating_point() else tensor
    return floats.contiguous(memory_format=torch.contiguous_format).cpu().numpy()


def torch_device(device: str) -> torch.device:
    """Return the device, `auto` meaning CUDA where there is one; `DeviceUnavailableError` where it is not there."""
    check_device(device)
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    wanted = torch.device(device)
    if wanted.type != "cuda":
        return wanted
    index = wanted.index or 0
    if index >= torch.cuda.device_count():
        raise DeviceUnavailableError(
            f"{device} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices"
        )
    return torch.device("cuda", index)
