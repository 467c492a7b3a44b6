"""Train the small classifier from random weights by distillation of class probabilities and object maps.

The student's class probabilities follow the mean of the teachers'; its attention, which scales its input gradient,
follows the object maps made of the teachers' input gradients (attention transfer).
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import compress
from operator import not_
from typing import cast

import torch
from rich.console import Console
from torch import Generator, Tensor

from ..files import digest_of
from .batches.distillation_config import CELL, DistillConfig
from .batches.samples import Batches
from .distillation_data import Batch, Lessons, draw_batch, is_held_out, list_photographs, read_lessons
from .loop import Course, Training, autocast, run_course, training_device, training_progress
from .networks.architectures.unsee_small import UnseeSmall, folded
from .networks.checkpoints import Classifier, load_checkpoint, save_checkpoint
from .networks.metadata import InputSpec, Label, Metadata
from .networks.preprocessing import Preprocessing
from .ranks import Ranks
from .training_folder import training_folder

AGREEMENTS = ("top-1 agreement", "top-5 agreement")
STUDENT_INPUT = InputSpec()
WARM_UP = 0.05
LARGEST_GRADIENT = 1.0
STREAM = 1
"""Enters every seed; that of the shipped weights."""
WINDOWS = 2
"""Batches are up to this many cells smaller or larger than the configured side."""


def distill(config: DistillConfig, console: Console | None = None) -> Classifier:
    """Train the student, or go on where a killed training stopped; save it in `config.output` and return it."""
    if config.threads:
        torch.set_num_threads(config.threads)
    with training_folder(config.output, "distillation"):
        return _distilled(config, console or Console(quiet=True))


def _distilled(config: DistillConfig, console: Console) -> Classifier:
    teachers = [load_checkpoint(directory) for directory in config.teachers]
    lessons, exam = _lessons(config, teachers, console)
    device = training_device(config.device, Ranks())
    torch.manual_seed(config.seed)
    network = UnseeSmall(lessons.predictions.shape[-1], batch_norm=True).to(device)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    groups = [{"params": network.parameters(), "factor": 1.0}]
    training = Training(network, torch.optim.AdamW(groups, weight_decay=config.weight_decay), [])
    run_course(_course(config, lessons, exam), training, device, Ranks(), console)
    student = folded(network.cpu())
    figures = {"photographs": len(lessons), "held out": len(exam), **examine(student, exam)}
    classifier = _classifier(config, student, teachers[0].labels, figures)
    save_checkpoint(config.output, classifier, torch.float16)
    return classifier


def _lessons(config: DistillConfig, teachers: list[Classifier], console: Console) -> tuple[Lessons, Lessons]:
    """Return the lessons of the photographs that are studied, and of those held out."""
    photographs = list_photographs(config.images)
    held_out = [is_held_out(path, config.held_out) for path in photographs]
    with training_progress(console) as bars:
        task = bars.add_task("teachers' lessons", total=len(photographs))
        studied, withheld = (
            read_lessons(config.output / "lessons", list(paths), teachers, config.crops, config.side + WINDOWS * CELL,
                         lambda count: bars.advance(task, count))
            for paths in (compress(photographs, map(not_, held_out)), compress(photographs, held_out))
        )  # fmt: skip
        bars.remove_task(task)
    return studied, withheld


def _course(config: DistillConfig, lessons: Lessons, exam: Lessons) -> Course:
    return Course(
        name="unsee_small",
        output=config.output,
        digest=config.digest(),
        seed=config.seed,
        epochs=config.epochs,
        save_every=config.save_every,
        batches=lambda epoch: [[(photograph, epoch) for photograph in part] for part in _order(config, lessons, epoch)],
        load=lambda batches: draw_batches(config, lessons, batches),
        losses=lambda network, batch, device: lesson_losses(cast(UnseeSmall, network), batch.to(device), config),
        rate=lambda position: config.learning_rate * schedule(position),
        examine=lambda network, _: examine(folded(cast(UnseeSmall, network)).cpu(), exam),
        summary=lambda row: "".join(f", {name} {row[name]:.1%}" for name in AGREEMENTS if name in row),
        largest_gradient=LARGEST_GRADIENT,
    )


def _chance(config: DistillConfig, epoch: int) -> Generator:
    """Return the generator that all chance of an epoch comes from: its order first, then its batches one by one."""
    return Generator().manual_seed(int(digest_of([config.seed, STREAM, epoch]), 16) % 2**63)


def _order(config: DistillConfig, lessons: Lessons, epoch: int) -> list[list[int]]:
    order = torch.randperm(len(lessons), generator=_chance(config, epoch))
    return [part.tolist() for part in order.split(config.batch)]


def draw_batches(config: DistillConfig, lessons: Lessons, batches: Batches) -> Iterator[Batch]:
    """Draw one crop of every photograph, for the last `batches` of an epoch: those before them are drawn and dropped."""
    if not batches:
        return
    generator = _chance(config, batches[0][0][1])
    order = torch.randperm(len(lessons), generator=generator).split(config.batch)
    for number, photographs in enumerate(order):
        drawn = draw_batch(lessons, photographs, _some_side(config, generator), generator)
        if number >= len(order) - len(batches):
            yield drawn


def _some_side(config: DistillConfig, generator: Generator) -> int:
    """Return the side of a batch in pixels, so that objects come in more sizes."""
    return config.side + CELL * int(torch.randint(-WINDOWS, WINDOWS + 1, (), generator=generator))


def schedule(position: float) -> float:
    """Return the factor on the learning rate at `position` (0..1) of the training: a short rise, then half a cosine."""
    return min(position / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * position))


def lesson_losses(network: UnseeSmall, batch: Batch, config: DistillConfig) -> Tensor:
    """Return the loss, summed over a batch: the divergence of the student's class probabilities, and the mean square
    error of its attention."""
    device = batch.pixels.device
    with autocast(config.precision, device):
        detectors, attention = network.look(Preprocessing(STUDENT_INPUT).to(device)(batch.pixels))
        logits = network.classify(detectors, attention)
    predictions = divergence(batch.predictions, torch.log_softmax(logits.float(), 1))
    wanted = torch.nn.functional.adaptive_avg_pool2d(batch.maps, (attention.shape[2], attention.shape[3]))
    errors = (attention[:, 0].float() - wanted).square().mean()
    return (config.prediction_weight * predictions + config.attention_weight * errors) * len(logits)


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
    scores, seen = [], Preprocessing(STUDENT_INPUT)
    for part in torch.arange(len(exam)).split(64):
        crops = torch.from_numpy(exam.crops[part.numpy(), 0]).float()
        scores.append(network(seen(crops)))
    best = torch.cat(scores).topk(5).indices
    wanted = torch.from_numpy(exam.predictions[:, 0].argmax(1))[:, None]
    found = (best[:, :1] == wanted), (best == wanted).any(1)
    return {name: float(right.float().mean()) for name, right in zip(AGREEMENTS, found, strict=True)}


def _classifier(
    config: DistillConfig, network: UnseeSmall, labels: tuple[Label, ...], figures: dict[str, float]
) -> Classifier:
    provenance = {
        "origin": "trained from random initialisation by distillation (unsee train distill)",
        "settings": config.settings(),
        "figures": figures,
    }
    metadata = Metadata(
        "unsee_small", replace(STUDENT_INPUT, size=config.input_size), len(labels), provenance, names_classes=False
    )
    return Classifier(network.requires_grad_(False), metadata, labels)
