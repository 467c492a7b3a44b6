"""Train the small classifier from random weights by distillation of class probabilities and object maps.

The student's class probabilities follow the mean of the teachers'; its attention, which scales its input gradient,
follows the object maps made of the teachers' input gradients (attention transfer).
"""

import math
from dataclasses import replace

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor

from ..files import digest_of
from .batches.distillation_config import CELL, DistillConfig
from .distillation_data import Batch, Lessons, draw_batch, is_held_out, list_photographs, read_lessons
from .input_gradient import preprocess
from .networks.checkpoints import Classifier, load_checkpoint, save_checkpoint
from .networks.metadata import InputSpec, Label, Metadata
from .networks.unsee_small import UnseeSmall, folded
from .training_state import load_state, save_state

STATE_FILE = "training.pt"
STUDENT_INPUT = InputSpec()
WARM_UP = 0.05
LARGEST_GRADIENT = 1.0
STREAM = 1
"""Enters every seed; that of the shipped weights."""
WINDOWS = 2
"""Batches are up to this many cells smaller or larger than the configured side."""


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
    generator = Generator().manual_seed(int(digest_of([config.seed, STREAM, epoch]), 16) % 2**63)
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
        detectors, attention = network.look(preprocess(batch.pixels, STUDENT_INPUT))
        logits = network.classify(detectors, attention)
    predictions = divergence(batch.predictions, torch.log_softmax(logits.float(), 1))
    wanted = torch.nn.functional.adaptive_avg_pool2d(batch.maps, (attention.shape[2], attention.shape[3]))
    return torch.stack([predictions, (attention[:, 0].float() - wanted).square().mean()])


def divergence(wanted: Tensor, log_estimate: Tensor) -> Tensor:
    """Return the mean over images of the Kullback-Leibler divergence of distributions [B,N]."""
    return (torch.xlogy(wanted, wanted) - wanted * log_estimate).sum() / len(wanted)


@torch.no_grad()
def examine(network: UnseeSmall, exam: Lessons) -> dict[str, float]:
    """Return how the student does on photographs it was not trained on, over their whole-image crops.

    Top-1: the part whose best class is the teachers'; top-5: the part whose five best hold it. Nothing without photographs.
    """
    if not len(exam):
        return {}
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
