"""Train the small classifier from random weights by distillation: predictions, object maps and input gradients.

Stage 1 trains the network with batch normalisation: its class probabilities follow the teachers' and its attention
follows the teachers' object maps. Stage 2 folds the normalisation away and
also makes the positive input gradient of the descent's cost follow the object maps (Jacobian matching).
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
    MAP_STEP,
    Batch,
    Lessons,
    draw_batch,
    is_held_out,
    list_photographs,
    read_lessons,
)
from .input_gradient import clamped_cost, descend, on_pixels, positive_gradient, preprocess
from .metadata import InputSpec, Metadata
from .small import UnseeSmall, folded
from .training_state import digest_of, load_state, save_state

STATE_FILE = "training.pt"
STUDENT_INPUT = InputSpec()
WARM_UP = 0.05
LARGEST_GRADIENT = 1.0
FLOOR = 1e-4
"""Added to shares of a map before their logarithm; an even share of 16x16 cells is 4e-3."""
State = dict[str, Any]
WINDOWS = 2
"""Batches are up to this many cells smaller or larger than the configured side."""


@dataclass(frozen=True)
class Stage:
    """One of the two parts of the training, with its own schedule; `gradient` is whether input gradients are matched."""

    number: int
    epochs: int
    learning_rate: float
    gradient: bool


@dataclass(frozen=True)
class DistillConfig:
    """What one distillation does.

    images: directories of photographs. teachers: checkpoints. output: the directory of the student's checkpoint.
    side: of the training crops on average, in pixels, a multiple of the cell. input_size: of the finished network.
    crops: fixed crops of each photograph. held_out: part of the photographs never trained on.
    epochs, gradient_epochs: passes over the photographs in stages 1 and 2. save_every: epochs between saved states.
    precision: of the convolutions; `bfloat16` wants a processor with such instructions.
    """

    images: tuple[Path, ...]
    teachers: tuple[Path, ...]
    output: Path
    side: int = 128
    input_size: int = 192
    crops: int = 12
    held_out: float = 0.1
    batch: int = 64
    epochs: int = 400
    gradient_epochs: int = 200
    learning_rate: float = 2e-3
    gradient_learning_rate: float = 5e-4
    prediction_weight: float = 0.3
    attention_weight: float = 20.0
    gradient_weight: float = 1.0
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
        if min(self.crops, self.batch, self.threads, self.save_every) < 1 or min(self.epochs, self.gradient_epochs) < 0:
            raise UnseeError("crops, batch, threads and save_every must be at least 1, epochs at least 0")
        if not self.teachers:
            raise UnseeError("distillation needs at least one teacher")

    def stages(self) -> tuple[Stage, Stage]:
        """Return the two parts of the training."""
        return (Stage(1, self.epochs, self.learning_rate, False),
                Stage(2, self.gradient_epochs, self.gradient_learning_rate, True))  # fmt: skip

    def digest(self) -> str:
        """Return what a resumed training must agree in: everything but places, threads and how often to save."""
        free = {"output": None, "threads": 0, "save_every": 0, "images": None, "teachers": None}
        return digest_of(asdict(self) | free)


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
    figures = examine(network, exam) if len(exam) else {}
    classifier = _classifier(config, network, teachers, {"photographs": len(lessons), "held out": len(exam), **figures})
    save_checkpoint(config.output, classifier, torch.float16)
    return classifier


def train(config: DistillConfig, lessons: Lessons, bars: Progress) -> UnseeSmall:
    """Run both stages from the last saved state on; return the folded network in eval mode."""
    torch.manual_seed(config.seed)
    network = UnseeSmall(lessons.predictions.shape[-1], batch_norm=True)
    state = load_state(config.output / STATE_FILE, config.digest())
    for stage in config.stages():
        if stage.number == 2:
            network = folded(network)
        if state is None or state["stage"] <= stage.number:
            resumed = state if state and state["stage"] == stage.number else None
            _run_stage(config, stage, network, lessons, resumed, bars)
    return network.eval()


def _run_stage(
    config: DistillConfig, stage: Stage, network: UnseeSmall, lessons: Lessons, resumed: State | None, bars: Progress
) -> None:
    """Train `network` in place for the epochs that are left, saving the state now and then."""
    network.train().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
    if resumed:
        network.load_state_dict(resumed["network"])
        optimizer.load_state_dict(resumed["optimizer"])
    first = resumed["epoch"] if resumed else 0
    task = bars.add_task(f"stage {stage.number}", total=stage.epochs, completed=first)
    for epoch in range(first, stage.epochs):
        losses = _run_epoch(config, stage, epoch, network, optimizer, lessons)
        bars.advance(task)
        if (epoch + 1) % config.save_every == 0 or epoch + 1 == stage.epochs:
            state = {"config": config.digest(), "stage": stage.number, "epoch": epoch + 1}
            state |= {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(config.output / STATE_FILE, state)
            bars.console.print(f"stage {stage.number}, epoch {epoch + 1} of {stage.epochs}: {losses}")


def _run_epoch(
    config: DistillConfig,
    stage: Stage,
    epoch: int,
    network: UnseeSmall,
    optimizer: torch.optim.Optimizer,
    lessons: Lessons,
) -> str:
    """Show the network one crop of every photograph; all chance follows from seed, stage and epoch. Returns the losses."""
    generator = Generator().manual_seed(digest_seed(config.seed, stage.number, epoch))
    order = torch.randperm(len(lessons), generator=generator).split(config.batch)
    total = torch.zeros(3)
    for number, photographs in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * schedule((epoch + number / len(order)) / stage.epochs)
        batch = draw_batch(lessons, photographs, _some_side(config, generator), generator)
        losses = lesson_losses(network, batch, config, stage.gradient, generator)
        optimizer.zero_grad()
        (
            losses * torch.tensor([config.prediction_weight, config.attention_weight, config.gradient_weight])
        ).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        total += losses.detach() / len(order)
    return "predictions {:.3f}, attention {:.3f}, gradient {:.3f}".format(*total.tolist())


def _some_side(config: DistillConfig, generator: Generator) -> int:
    """Return the side of a batch in pixels, so that objects come in more sizes."""
    return config.side + CELL * int(torch.randint(-WINDOWS, WINDOWS + 1, (), generator=generator))


def digest_seed(*numbers: int) -> int:
    """Return a seed that follows from several numbers."""
    return int(digest_of(numbers), 16) % 2**63


def schedule(position: float) -> float:
    """Return the factor on the learning rate at `position` (0..1) of a stage: a short rise, then half a cosine to 0."""
    return min(position / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * position))


def lesson_losses(
    network: UnseeSmall, batch: Batch, config: DistillConfig, gradient: bool, generator: Generator
) -> Tensor:
    """Return what the student misses of the teachers: the divergence of its class probabilities, the mean square error
    of its attention and, or 0, the divergence of its input gradient's shares of the cells.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits, attention = network.attend(preprocess(batch.pixels, STUDENT_INPUT))
        slope = _slope_on_descent(network, batch.pixels, generator) if gradient else None
    predictions = divergence(batch.predictions, torch.log_softmax(logits.float(), 1))
    wanted = torch.nn.functional.adaptive_avg_pool2d(batch.maps, (attention.shape[2], attention.shape[3]))
    misplaced = (attention[:, 0].float() - wanted).square().mean()
    if slope is None:
        return torch.stack([predictions, misplaced, torch.zeros(())])
    cells = torch.nn.functional.avg_pool2d(slope.float(), CELL)
    share = (cells / cells.sum((2, 3), keepdim=True).clamp(min=1e-20)).mean(1)
    wanted_share = batch.maps / batch.maps.sum((1, 2), keepdim=True).clamp(min=1e-3)
    return torch.stack([predictions, misplaced, divergence(wanted_share, (share + FLOOR).log())])


def _slope_on_descent(network: UnseeSmall, pixels: Tensor, generator: Generator) -> Tensor:
    """Return the positive gradient [B,3,H,W] of the descent's cost after 0 to 3 steps of one of several sizes.

    Few large steps stand for the many of a whole descent, along which the clamp decides the gradient's direction.
    """
    iterations, doublings = (int(torch.randint(4, (), generator=generator)) for _ in range(2))
    student = on_pixels(network, STUDENT_INPUT)
    edited, reference, target = descend(student, pixels, iterations, MAP_STEP * 2**doublings)
    edited.requires_grad_()
    cost = clamped_cost(student(edited).float(), reference, target)
    return positive_gradient(cost, edited, create_graph=True)


def divergence(wanted: Tensor, log_estimate: Tensor) -> Tensor:
    """Return the mean over images of the Kullback-Leibler divergence of distributions [B,...]; one of sum 0 counts 0."""
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
    config: DistillConfig, network: UnseeSmall, teachers: list[Classifier], figures: dict[str, float]
) -> Classifier:
    provenance = {
        "origin": "trained from random initialisation by distillation (unsee train distill)",
        "teachers": [teacher.metadata.network for teacher in teachers],
        "settings": {name: value for name, value in asdict(config).items() if not isinstance(value, (tuple, Path))},
        "figures": figures,
    }
    metadata = Metadata(
        "unsee_small", replace(STUDENT_INPUT, size=config.input_size), len(teachers[0].labels), provenance
    )
    return Classifier(network.requires_grad_(False), metadata, teachers[0].labels)


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


app = typer.Typer()


@app.command("distill")
def main(
    images: Annotated[list[Path], typer.Option(help="Directory of photographs; may be given several times.")],
    teacher: Annotated[list[Path], typer.Option(help="Checkpoint directory of a teacher; may be given several times.")],
    output: Annotated[Path, typer.Option(help="Directory of the student's checkpoint; a killed training resumes.")],
    epochs: Annotated[int, typer.Option(help="Passes over the photographs before input gradients are matched.")] = 400,
    gradient_epochs: Annotated[int, typer.Option(help="Passes that match input gradients as well.")] = 200,
    input_size: Annotated[int, typer.Option(help="Side of the finished classifier's input in pixels.")] = 192,
    crops: Annotated[int, typer.Option(help="Fixed crops of each photograph.")] = 12,
    held_out: Annotated[float, typer.Option(help="Part of the photographs that is never trained on.")] = 0.1,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops and order.")] = 0,
    float32: Annotated[bool, typer.Option(help="Train in float32, on processors without bfloat16.")] = False,
) -> None:
    """Train the small classifier from random weights by distillation from larger ones."""
    distill(
        DistillConfig(
            tuple(images), tuple(teacher), output, input_size=input_size, crops=crops, held_out=held_out,
            epochs=epochs, gradient_epochs=gradient_epochs, seed=seed, threads=threads,
            precision="float32" if float32 else "bfloat16",
        )
    )  # fmt: skip
