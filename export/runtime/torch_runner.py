"""The runner of PyTorch, eager or compiled."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from ...errors import DeviceUnavailableError
from ..bundles.graphs import Graph
from .backends import check_device
from .runner import ONE_TURN, Arrays, Counters, Runner, count_of, joined, split

Function = Callable[..., Any]
"""From tensors in the order of a graph's inputs to its outputs, one tensor or a tuple."""


class TorchRunner(Runner):
    """PyTorch on a CPU or a CUDA device; channels last is the faster memory format on both.

    On the CPU every image is run by itself, on lanes of one thread each: PyTorch's convolutions round differently for
    another batch size, which a descent multiplies, and threads that wait for one another take minutes on a busy machine.
    compiled: PyTorch's compiler runs the function, batch by batch; on CUDA it is replayed as a CUDA graph for each size.
    dtype: of all tensors of floats.
    """

    def __init__(
        self,
        function: Function,
        graph: Graph,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        layout: torch.memory_format = torch.channels_last,
        compiled: bool = False,
    ) -> None:
        super().__init__(graph, "torch-compile" if compiled else "torch", str(device))
        self.place, self.dtype, self.layout = device, dtype, layout
        self.function = _compiled(function, device) if compiled else function
        self.lanes = None
        if device.type == "cpu" and not compiled:
            self.lanes = ThreadPoolExecutor(torch.get_num_threads(), "lane", lambda: torch.set_num_threads(1))

    def run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters] = ONE_TURN) -> Arrays:
        """See `Runner.run`."""
        if self.lanes is None:
            return self._run(inputs, turns)
        images = split(inputs, count_of(inputs))
        return joined(list(self.lanes.map(lambda image: self._run(image, turns), images)))

    def close(self) -> None:
        """See `Runner.close`."""
        if self.lanes is not None:
            self.lanes.shutdown(wait=False)

    @torch.no_grad()
    def _run(self, inputs: Mapping[str, np.ndarray], turns: Sequence[Counters]) -> Arrays:
        values = {name: self._placed(value) for name, value in inputs.items()}
        names = [spec.name for spec in self.graph.outputs]
        outputs: dict[str, torch.Tensor] = {}
        for counters in turns:
            for spec in self.graph.scalars:
                values[spec.name] = torch.tensor(
                    counters[spec.name], dtype=getattr(torch, spec.type), device=self.place
                )
            found = self.function(*(values[spec.name] for spec in self.graph.inputs))
            outputs = dict(zip(names, found if isinstance(found, tuple) else (found,), strict=True))
            values |= {name: outputs[f"next_{name}"] for name in self.graph.state}
        return {name: _array(tensor) for name, tensor in outputs.items()}

    def _placed(self, value: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(value)
        if not tensor.is_floating_point():
            return tensor.to(self.place)
        if tensor.ndim != 4:
            return tensor.to(self.place, self.dtype)
        return tensor.to(self.place, self.dtype, memory_format=self.layout)


def _compiled(function: Function, device: torch.device) -> Function:
    mode = "reduce-overhead" if device.type == "cuda" else None
    return torch.compile(function, mode=mode, dynamic=False)


def _array(tensor: torch.Tensor) -> np.ndarray:
    floats = tensor.float() if tensor.is_floating_point() else tensor
    return floats.contiguous(memory_format=torch.contiguous_format).cpu().numpy()


def torch_device(device: str) -> torch.device:
    """Return the device, `auto` meaning CUDA where there is one; `DeviceUnavailableError` where it is not there."""
    check_device(device)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailableError(
            f"{device} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices"
        )
    return wanted
