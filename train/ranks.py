"""Several processes that train one network together (torchrun), or a single one that is alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import UnseeError
from .training_folder import training_folder

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """This process among `count` of them. local_rank: its number on this machine, and its GPU's."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    @contextmanager
    def own_folder(self, output: Path, kind: str) -> Iterator[None]:
        """Hold the folder of a training for the block: the first process does, for all (see `training_folder`)."""
        with training_folder(output, kind) if self.first else nullcontext():
            yield

    def part(self, batch: Sequence[Item]) -> list[Item]:
        """Return this process' part of a batch, which every process must have one of."""
        part = list(batch[self.rank :: self.count])
        if not part:
            raise UnseeError(
                f"a batch of {len(batch)} samples is too small for {self.count} processes: choose another --batch"
            )
        return part

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return the network as it is trained: processes average their gradients."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def mean(self, value: Tensor) -> float:
        """Return the mean of a number over the processes."""
        if self.count > 1:
            distributed.all_reduce(value)
        return float(value) / self.count

    def wait(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, for as long as the block lasts; without torchrun this one is alone.

    device: auto, cpu or cuda, by which the processes find how they talk; on GPUs each has its own from the start.
    """
    if not distributed.is_torchelastic_launched():
        yield Ranks()
        return
    local_rank, on_gpus = int(os.environ["LOCAL_RANK"]), device != "cpu" and torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(local_rank)
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), local_rank)
    finally:
        distributed.destroy_process_group()
