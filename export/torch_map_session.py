"""The session that runs a promoter or an attentional network in eager PyTorch."""

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from ..train.map_networks import LoadedMapNetwork, build_map_network, fingerprint, load_map_network
from .map_sessions import MapSession, with_iterations
from .torch_session import torch_device


class TorchMapSession(MapSession):
    """Eager PyTorch on a CPU or a CUDA device.

    On the CPU every image is computed by itself, on lanes of one thread each (see `TorchSession`). dtype: float32, or
    float64 to measure the rounding of all others.
    """

    def __init__(self, loaded: LoadedMapNetwork, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.device, self.dtype = torch_device(device), dtype
        mapper = copy.deepcopy(loaded.mapper).eval().requires_grad_(False)  # `to` would change the caller's
        self.mapper = mapper.to(self.device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.lanes = None
        if self.device.type == "cpu":
            self.lanes = ThreadPoolExecutor(torch.get_num_threads(), "maps", lambda: torch.set_num_threads(1))
        super().__init__(fingerprint(loaded), loaded.metadata, "torch", str(self.device))

    @classmethod
    def opened(cls, directory: Path, device: str, iterations: int | None = None) -> "TorchMapSession":
        """Open a checkpoint; iterations: see `open_map_session`."""
        return cls(load_with_iterations(directory, iterations), device)

    def _maps(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        tensors = [torch.from_numpy(value) for value in inputs.values()]
        if self.lanes is None:
            return self._run(tensors)
        images = zip(*(tensor.split(1) for tensor in tensors), strict=True)
        return np.concatenate(list(self.lanes.map(self._run, images)))

    @torch.no_grad()
    def _run(self, tensors: Sequence[torch.Tensor]) -> np.ndarray:
        moved = [tensor.to(self.device, self.dtype, memory_format=torch.channels_last) for tensor in tensors]
        return self.mapper(*moved).float().contiguous().cpu().numpy()


def load_with_iterations(directory: Path, iterations: int | None = None) -> LoadedMapNetwork:
    """Load a checkpoint; a promoter makes so many passes, its own number where None."""
    loaded = load_map_network(directory)
    metadata = with_iterations(loaded.metadata, iterations)
    if metadata == loaded.metadata:
        return loaded
    mapper = build_map_network(metadata)
    mapper.load_state_dict(loaded.mapper.state_dict())
    return LoadedMapNetwork(mapper.eval().requires_grad_(False), metadata)
