"""The loop of every training on batches of images: epochs, saved states, figures, several processes.

All chance follows from the seed and the step, so a training that was killed and goes on gives the weights of an
undisturbed one: bit for bit on a CPU with the same number of threads. Under torchrun every process takes its part of
each batch.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from ..errors import DeviceUnavailableError, UnseeError
from ..stopping import stoppable
from .batches.samples import Batches, seed_of
from .batches.training_config import Precision, Schedule
from .ranks import Ranks
from .training_state import STATE_FILE, load_state, save_state

LARGEST_GRADIENT = 10.0


@dataclass
class Training:
    """A training in progress. step: steps done, in this epoch. curves: a row of figures per finished epoch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    curves: list[dict[str, Any]]
    epoch: int = 0
    step: int = 0
    loss: float = 0.0

    def state(self, digest: str, data: str) -> dict[str, Any]:
        """Return all that a later process needs to go on; `digest` and `data` stand for what it must agree in."""
        place = {"epoch": self.epoch, "step": self.step, "loss": self.loss, "curves": self.curves}
        weights = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {"config": digest, "data": data, **place, **weights}

    def resume(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step, self.loss, self.curves = (state[name] for name in ("epoch", "step", "loss", "curves"))


@dataclass(frozen=True)
class Course:
    """What a training does, step by step.

    output: where its state is saved, every `save_every` steps and after each epoch. digest: of its settings. data: of what
    it learns from, empty where that is in the digest.
    batches: the samples of each step of an epoch, with the seeds of their augmentation. load: reads them.
    losses: the sum of the losses of this process' part of a batch, from the network, what was loaded and the device.
    rate: the learning rate at a part (0..1) of the training; every group of the optimizer has a `factor` on it.
    examine: figures of a finished epoch. summary: what its line says of them. largest_gradient: norm that gradients are
    clipped to.
    """

    name: str
    output: Path
    digest: str
    seed: int
    epochs: int
    save_every: int
    batches: Callable[[int], Batches]
    load: Callable[[Batches], Iterator[Any]]
    losses: Callable[[nn.Module, Any, torch.device], Tensor]
    rate: Callable[[float], float]
    examine: Callable[[nn.Module, torch.device], dict[str, float]]
    summary: Callable[[dict[str, float]], str]
    largest_gradient: float = LARGEST_GRADIENT
    data: str = ""

    @property
    def state_path(self) -> Path:
        return self.output / STATE_FILE


def run_course(course: Course, training: Training, device: torch.device, ranks: Ranks, console: Console) -> None:
    """Train for the epochs that are left, from the last saved state on where there is one.

    The first interruption ends it after the step that it comes in, with KeyboardInterrupt, and nothing is lost.
    """
    state = load_state(course.state_path, course.digest, course.data)
    if state:
        training.resume(state)
    console = console if ranks.first else Console(quiet=True)
    if training.epoch >= course.epochs:
        console.print(f"{course.name}: all of its {course.epochs} epochs are done already", markup=False)
        return
    steps = len(course.batches(0))
    model = ranks.wrapped(training.network)
    with training_progress(console) as bars, stoppable() as is_stopped:
        done = training.epoch * steps + training.step
        task = bars.add_task(f"training {course.name}", total=course.epochs * steps, completed=done)
        while training.epoch < course.epochs:
            started = time.monotonic()
            for _ in _epoch(course, training, model, device, ranks):
                bars.advance(task)
                if is_stopped():
                    _save(course, training, ranks)
                    raise KeyboardInterrupt
            figures = course.examine(training.network, device)
            seconds = time.monotonic() - started
            row = {"epoch": training.epoch + 1, "loss": training.loss / steps, "seconds": seconds, **figures}
            training.curves.append(row)
            training.epoch, training.step, training.loss = training.epoch + 1, 0, 0.0
            _save(course, training, ranks)
            bars.console.print(f"epoch {row['epoch']}: loss {row['loss']:.3f}{course.summary(row)}")


def _save(course: Course, training: Training, ranks: Ranks) -> None:
    if ranks.first:
        save_state(course.state_path, training.state(course.digest, course.data))


def _epoch(course: Course, training: Training, model: nn.Module, device: torch.device, ranks: Ranks) -> Iterator[None]:
    """Take the steps of an epoch that are left, saving the state now and then."""
    batches = course.batches(training.epoch)
    total, left = len(batches), batches[training.step :]
    own = [ranks.part(batch) for batch in left]
    training.network.train()
    for batch, loaded in zip(left, course.load(own), strict=True):
        rate = course.rate((training.epoch + training.step / total) / course.epochs)
        for group in training.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        torch.manual_seed(seed_of(course.seed, "dropout", training.epoch, training.step, ranks.rank))
        losses = course.losses(model, loaded, device)
        loss = losses * ranks.count / len(batch)  # processes average their gradients, whatever the sizes of their parts
        training.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), course.largest_gradient)
        training.optimizer.step()
        training.loss += _finite(ranks.mean(loss.detach()), training)
        training.step += 1
        if training.step % course.save_every == 0:
            _save(course, training, ranks)
        yield


def _finite(loss: float, training: Training) -> float:
    """Return a loss that is a number; `UnseeError` on any other, from which no weights come back."""
    if not math.isfinite(loss):
        raise UnseeError(
            f"the training diverged: a loss of {loss} in step {training.step + 1} of epoch {training.epoch + 1}; "
            "start anew with a lower --learning-rate"
        )
    return loss


def rate_at(schedule: Schedule, rate: float, position: float) -> float:
    """Return the learning rate at `position` (0..1) of a training whose largest one is `rate`."""
    if schedule == "cosine":
        return rate * (0.5 + 0.5 * math.cos(math.pi * position))
    return rate * (0.1 ** int(3 * position) if schedule == "steps" else 1.0)


def training_device(wanted: str, ranks: Ranks) -> torch.device:
    """Return the device of this process: auto, cpu, or cuda; `DeviceUnavailableError` where there is none."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceUnavailableError(f"{wanted} was asked for, but PyTorch sees no CUDA device")
    return torch.device("cuda", ranks.local_rank) if wanted in ("auto", "cuda") else torch.device(wanted)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context of the forward pass: auto is bfloat16 on a GPU, float32 on a CPU."""
    wanted = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def training_progress(console: Console) -> Progress:
    """Return the progress bars of a training."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)
