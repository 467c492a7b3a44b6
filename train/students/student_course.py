"""One round of a student's training: its course, and the maps that it makes of its photographs afterwards."""

from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from ...files import digest_of
from ..batches.samples import seed_of, shuffled_batches
from ..loop import Course, Training, rate_at, run_course
from ..networks.checkpoints import Classifier
from ..networks.maps.mapper_metadata import MapMetadata, StudentOptions
from ..networks.maps.mappers import PixelMapper, build_map_network
from ..networks.maps.student import StudentNetwork
from ..networks.maps.student_backbones import start_backbone
from ..ranks import Ranks
from .lessons import Drawn, Lessons, draw, inputs_of
from .student_config import StudentConfig

OVERLAP_WEIGHT = 3.0
"""Of the intersection over union beside the cross-entropy (docs/log.md)."""
WARM_UP = 0.05
"""Share of a round in which the rate rises."""
ANSWERED_TOGETHER = 16


def new_student(config: StudentConfig, classifier: Classifier, number: int) -> PixelMapper:
    """Return the student that round `number` begins with: the classifier's convolutions, and a head of random weights."""
    torch.manual_seed(seed_of(config.seed, "weights", number))
    metadata = classifier.metadata
    spec = replace(metadata.input, size=config.input_size)
    options = StudentOptions(config.width, config.dropout)
    origin = {"started from": metadata.provenance or metadata.network}
    mapper = build_map_network(MapMetadata("student", "default", metadata.network, spec, options, origin))
    start_backbone(mapper.network.backbone, classifier)
    return mapper


def train_round(
    config: StudentConfig,
    number: int,
    mapper: PixelMapper,
    lessons: Lessons,
    chosen: np.ndarray,
    device: torch.device,
    console: Console,
) -> list[dict[str, Any]]:
    """Train a student on the chosen photographs, or go on where a killed training stopped; return its curves."""
    training = Training(mapper.network, _optimizer(config, mapper.network), [])
    run_course(_course(config, number, mapper, lessons, chosen), training, device, Ranks(), console)
    return training.curves


@torch.no_grad()
def answers(mapper: PixelMapper, lessons: Lessons) -> np.ndarray:
    """Return the student's maps of all photographs, each averaged with that of its mirror image: float32 [P,S/4,S/4]."""
    network = cast(StudentNetwork, mapper.network.eval())
    found = np.empty(lessons.labels.shape, np.float32)
    for start in range(0, len(lessons), ANSWERED_TOGETHER):
        numbers = np.arange(start, min(start + ANSWERED_TOGETHER, len(lessons)))
        plain, mirrored = (
            torch.sigmoid(_logits(mapper, network, inputs_of(lessons, numbers, turned))) for turned in (False, True)
        )
        found[numbers] = ((plain + mirrored.flip(3)) / 2)[:, 0].cpu().numpy()
    return found


def label_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of logits [B,1,H,W], summed over images: cross-entropy with the labels' sides, weighed by how decided
    they are, plus soft intersection over union (weight 3)."""
    sides, weights = (labels > 0.5).to(labels.dtype), (2 * labels - 1).abs()
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, sides, weights, reduction="none").mean((1, 2, 3))
    maps = torch.sigmoid(logits)
    both = (maps * sides).sum((1, 2, 3))
    either = (maps + sides).sum((1, 2, 3)) - both
    return (entropy + OVERLAP_WEIGHT * (1 - (both + 1) / (either + 1))).sum()


def _course(config: StudentConfig, number: int, mapper: PixelMapper, lessons: Lessons, chosen: np.ndarray) -> Course:
    numbers, seed = torch.from_numpy(chosen), seed_of(config.seed, "round", number)
    return Course(
        name=f"student, round {number}",
        output=config.round_folder(number),
        digest=digest_of([config.digest(), number]),
        seed=seed,
        epochs=config.epochs,
        save_every=config.save_every,
        batches=lambda epoch: shuffled_batches(numbers, config.batch, seed, epoch),
        load=lambda batches: draw(lessons, batches, config.augment),
        losses=partial(_losses, mapper),
        rate=lambda position: (
            min(position / WARM_UP + 0.05, 1) * rate_at(config.schedule, config.learning_rate, position)
        ),
        examine=lambda *_: {},
        summary=lambda _: "",
    )


def _losses(mapper: PixelMapper, network: nn.Module, drawn: Drawn, device: torch.device) -> Tensor:
    logits = _logits(mapper, cast(StudentNetwork, network), drawn.inputs)
    return label_losses(logits, drawn.labels.to(device))


def _logits(mapper: PixelMapper, network: StudentNetwork, inputs: list[Tensor]) -> Tensor:
    """Return logits [B,1,S/4,S/4] of features, or of pixels alone."""
    device = mapper.preprocess.mean.device
    there = [values.to(device) for values in inputs]
    return network.head(there if len(there) > 1 else network.backbone(mapper.preprocess(there[0])))


def _optimizer(config: StudentConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW with a rate for the head and one for the backbone, which is frozen where that is 0."""
    student = cast(StudentNetwork, network)
    groups: list[dict[str, Any]] = [{"params": list(student.head.parameters()), "factor": 1.0}]
    if config.backbone_rate:
        factor = config.backbone_rate / config.learning_rate
        groups.append({"params": list(student.backbone.parameters()), "factor": factor})
    else:
        student.backbone.requires_grad_(False)
    return torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay)
