"""Train the small classifier from random weights by distillation of class probabilities and object maps.

The student's class probabilities follow the mean of the teachers'; its attention, which scales its input gradient,
follows the object maps made of the teachers' input gradients (attention transfer).
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor

from ..errors import UnseeError
from .checkpoints import Classifier, load_checkpoint, save_checkpoint
from .distillation_data import (
    CELL,
    Batch,
    Lessons,
    draw_batch,
    is_held_out,
    list_photographs,
    read_lessons,
)
from .input_gradient import preprocess
from .metadata import InputSpec, Label, Metadata
from .small import UnseeSmall, folded
from .training_state import digest_of, load_state, save_state

STATE_FILE = "training.pt"
STUDENT_INPUT = InputSpec()
WARM_UP = 0.05
LARGEST_GRADIENT = 1.0
WINDOWS = 2
"""Batches are up to this many cells smaller or larger than the configured side."""


@dataclass(frozen=True)
class DistillConfig:
    """What one distillation does.

    images: directories of photographs. teachers: checkpoints. output: the directory of the student's checkpoint.
    side: of the training crops on average, in pixels, a multiple of the cell. input_size: of the finished network.
    crops: fixed crops of each photograph. held_out: part of the photographs never trained on.
    epochs: passes over the photographs, one crop of each. save_every: epochs between saved states.
    prediction_weight, attention_weight: factors on the two losses.
    precision: of the convolutions; `bfloat16` wants a processor with such instructions.
    """

    images: tuple[Path, ...]
    teachers: tuple[Path, ...]
    output: Path
    side: int = 128
    input_size: int = 160
    crops: int = 12
    held_out: float = 0.1
    batch: int = 64
    epochs: int = 120
    learning_rate: float = 2e-3
    prediction_weight: float = 0.3
    attention_weight: float = 20.0
    weight_decay: float = 0.05
    seed: int = 0
    threads: int = 1
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    save_every: int = 10

    def __post_init__(self) -> None:
        if self.side < 4 * CELL or self.side % CELL:
            raise UnseeError(f"side must be a multiple of {CELL} and at least {4 * CELL}, got {self.side}")
        if not 0 <= self.held_out < 1:
            raise UnseeError(f"held_out must be at least 0 and below 1, got {self.held_out}")
        if min(self.crops, self.batch, self.epochs, self.threads, self.save_every) < 1:
            raise UnseeError("crops, batch, epochs, threads and save_every must be at least 1")
        if not self.teachers:
            raise UnseeError("distillation needs at least one teacher")

    def settings(self) -> dict[str, Any]:
        """Return what decides the student's weights: everything but the output, threads and how often to save."""
        named = {"images": [path.name for path in self.images], "teachers": [path.name for path in self.teachers]}
        values = asdict(self) | named
        return {name: value for name, value in values.items() if name not in ("output", "threads", "save_every")}


def distill(config: DistillConfig, progress: Progress | None = None) -> Classifier:
    """Train the student, or go on where a killed training stopped; save it in `config.output` and return it."""
    torch.set_num_threads(config.threads)
    teachers = [load_checkpoint(directory) for directory in config.teachers]
    photographs = list_photographs(config.images)
    studied = [path for path in photographs if not is_held_out(path, config.held_out)]
    withheld = [path for path in photographs if is_held_out(path, config.held_out)]
    with progress or _progress() as bars:
        task = bars.add_task("teachers' lessons", total=len(photographs))
        lessons, exam = (
            read_lessons(config.output / "lessons", paths, teachers, config.crops, config.side + WINDOWS * CELL,
                         lambda count: bars.advance(task, count))
            for paths in (studied, withheld)
        )  # fmt: skip
        bars.remove_task(task)
        network = train(config, lessons, bars)
    figures = {"photographs": len(lessons), "held out": len(exam), **examine(network, exam)}
    classifier = _classifier(config, network, teachers[0].labels, figures)
    save_checkpoint(config.output, classifier, torch.float16)
    return classifier


def train(config: DistillConfig, lessons: Lessons, bars: Progress) -> UnseeSmall:
    """Train from the last saved state on, or from random weights; return the folded network in eval mode."""
    state_path, key = config.output / STATE_FILE, digest_of(config.settings())
    torch.manual_seed(config.seed)
    network = UnseeSmall(lessons.predictions.shape[-1], batch_norm=True)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
    state = load_state(state_path, key) or {"epoch": 0}
    if state["epoch"]:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    task = bars.add_task("epochs", total=config.epochs, completed=state["epoch"])
    for epoch in range(state["epoch"], config.epochs):
        losses = _train_epoch(config, epoch, network, optimizer, lessons)
        bars.advance(task)
        if (epoch + 1) % config.save_every == 0 or epoch + 1 == config.epochs:
            state = {"config": key, "epoch": epoch + 1}
            save_state(state_path, state | {"network": network.state_dict(), "optimizer": optimizer.state_dict()})
            bars.console.print(f"epoch {epoch + 1} of {config.epochs}: {losses}")
    return folded(network)


def _train_epoch(
    config: DistillConfig, epoch: int, network: UnseeSmall, optimizer: torch.optim.Optimizer, lessons: Lessons
) -> str:
    """Show the network one crop of every photograph; return the mean losses. All chance follows from seed and epoch."""
    generator = torch.manual_seed(int(digest_of([config.seed, epoch]), 16) % 2**63)  # of dropout as well
    order = torch.randperm(len(lessons), generator=generator).split(config.batch)
    total = torch.zeros(2)
    for number, photographs in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule((epoch + number / len(order)) / config.epochs)
        losses = lesson_losses(
            network, draw_batch(lessons, photographs, _some_side(config, generator), generator), config
        )
        optimizer.zero_grad()
        (losses * torch.tensor([config.prediction_weight, config.attention_weight])).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        total += losses.detach() / len(order)
    return "predictions {:.3f}, attention {:.4f}".format(*total.tolist())


def _some_side(config: DistillConfig, generator: Generator) -> int:
    """Return the side of a batch in pixels, so that objects come in more sizes."""
    return config.side + CELL * int(torch.randint(-WINDOWS, WINDOWS + 1, (), generator=generator))


def schedule(position: float) -> float:
    """Return the factor on the learning rate at `position` (0..1) of the training: a short rise, then half a cosine."""
    return min(position / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * position))


def lesson_losses(network: UnseeSmall, batch: Batch, config: DistillConfig) -> Tensor:
    """Return the divergence of the student's class probabilities and the mean square error of its attention, [2]."""
    with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits, attention = network.attend(preprocess(batch.pixels, STUDENT_INPUT))
    predictions = divergence(batch.predictions, torch.log_softmax(logits.float(), 1))
    wanted = torch.nn.functional.adaptive_avg_pool2d(batch.maps, (attention.shape[2], attention.shape[3]))
    return torch.stack([predictions, (attention[:, 0].float() - wanted).square().mean()])


def divergence(wanted: Tensor, log_estimate: Tensor) -> Tensor:
    """Return the mean over images of the Kullback-Leibler divergence of distributions [B,N]."""
    return (torch.xlogy(wanted, wanted) - wanted * log_estimate).sum() / len(wanted)


@torch.no_grad()
def examine(network: UnseeSmall, exam: Lessons) -> dict[str, float]:
    """Return how the student does on photographs it was not trained on, over their whole-image crops.

    `agreement` is the part with the teachers' top-1 class; `agreement top-5` that whose top-1 is in the student's five.
    """
    scores = []
    for part in torch.arange(len(exam)).split(64):
        crops = torch.from_numpy(exam.crops[part.numpy(), 0]).float()
        scores.append(network(preprocess(crops, STUDENT_INPUT)))
    best = torch.cat(scores).topk(5).indices
    wanted = torch.from_numpy(exam.predictions[:, 0].argmax(1))[:, None]
    return {"top-1 agreement": float((best[:, :1] == wanted).float().mean()),
            "top-5 agreement": float((best == wanted).any(1).float().mean())}  # fmt: skip


def _classifier(
    config: DistillConfig, network: UnseeSmall, labels: tuple[Label, ...], figures: dict[str, float]
) -> Classifier:
    provenance = {
        "origin": "trained from random initialisation by distillation (unsee train distill)",
        "settings": config.settings(),
        "figures": figures,
    }
    metadata = Metadata("unsee_small", replace(STUDENT_INPUT, size=config.input_size), len(labels), provenance)
    return Classifier(network.requires_grad_(False), metadata, labels)


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


app = typer.Typer()


@app.command("distill")
def main(
    images: Annotated[list[Path], typer.Option(help="Directory of photographs; may be given several times.")],
    teacher: Annotated[list[Path], typer.Option(help="Checkpoint directory of a teacher; may be given several times.")],
    output: Annotated[Path, typer.Option(help="Directory of the student's checkpoint; a killed training resumes.")],
    epochs: Annotated[int, typer.Option(help="Passes over the photographs.")] = DistillConfig.epochs,
    input_size: Annotated[
        int, typer.Option(help="Side of the classifier's input in pixels.")
    ] = DistillConfig.input_size,
    crops: Annotated[int, typer.Option(help="Fixed crops of each photograph.")] = DistillConfig.crops,
    held_out: Annotated[
        float, typer.Option(help="Part of the photographs that is never trained on.")
    ] = DistillConfig.held_out,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops and order.")] = 0,
    float32: Annotated[bool, typer.Option(help="Train in float32, on processors without bfloat16.")] = False,
) -> None:
    """Train the small classifier from random weights by distillation from larger ones."""
    distill(
        DistillConfig(
            tuple(images), tuple(teacher), output, input_size=input_size, crops=crops, held_out=held_out,
            epochs=epochs, seed=seed, threads=threads, precision="float32" if float32 else "bfloat16",
        )
    )  # fmt: skip
