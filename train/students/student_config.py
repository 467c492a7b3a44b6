"""What the training of a student does, as one checked record. No torch needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ...errors import UnseeError
from ..batches.training_config import FREE, Schedule, TrainingConfig
from ..data.catalogue import DATA_HELP
from ..networks.maps.mapper_metadata import SIZE_STEPS

GRID = 4
"""Pixels a side of a cell of the labels: the stride of the student's finest features."""
DEFAULT_TEACHERS = ("efficientnet-lite0",)
FREE_HERE = (*FREE, "feature_budget", "photographs")
"""Fields that do not decide the weights: the photographs count by their own digest, not by how they were named."""


@dataclass(frozen=True, kw_only=True)
class StudentConfig(TrainingConfig):
    """The training of a student without masks.

    photographs: as the inputs of a run. teachers: classifiers whose maps (preset best) are averaged. start: classifier whose
    convolutions the student looks through. backbone_rate: 0 freezes them, and their features are computed once where they
    fit into feature_budget. epochs: of each round. rounds: at most; after each the student makes the next labels. settled:
    share of pixels that change sides between two rounds below which there is no other. kept: share of the photographs,
    those whose labels are most decided. smallest_object, largest_object: share of the frame of what is learned from.
    refine: see `refined_labels`. augment: see `draw`.
    masks: data sets whose masks are learned from, too.
    """

    photographs: tuple[str, ...] = ()
    teachers: Annotated[tuple[str, ...], "whose maps are learned from; may be given several times"] = DEFAULT_TEACHERS
    start: Annotated[str, "classifier whose convolutions the student looks through"] = "efficientnet-lite0"
    input_size: Annotated[int, "side of the student's input in pixels"] = 320
    rounds: Annotated[int, "of training and of labels anew, at most"] = 3
    epochs: Annotated[int, "passes over the photographs in each round"] = 6
    settled: Annotated[float, "share of pixels changing sides between rounds at which it is enough"] = 0.01
    batch: Annotated[int, "images a step"] = 16
    learning_rate: Annotated[float, "largest rate of the head"] = 2e-3
    backbone_rate: Annotated[float, "largest rate of the backbone; 0 freezes it"] = 0.0
    schedule: Annotated[Schedule, "of the learning rates"] = "cosine"
    weight_decay: float = 1e-3
    width: Annotated[int, "channels of the head"] = 64
    dropout: Annotated[float, "share of the features' channels left out by chance"] = 0.1
    kept: Annotated[float, "share of the photographs, the most decided ones"] = 0.75
    smallest_object: Annotated[float, "least share of the frame that an object takes"] = 0.03
    largest_object: Annotated[float, "largest share of the frame that an object takes"] = 0.6
    refine: Annotated[bool, "have labels follow the edges of their photographs"] = True
    augment: Annotated[
        bool, "crop photographs and change their colours by chance; their features are not kept then"
    ] = False
    masks: Annotated[tuple[str, ...], f"labelled data to learn from, too: {DATA_HELP}"] = ()
    feature_budget: Annotated[float, "gigabytes on disk for features of a frozen backbone"] = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.photographs or not self.teachers:
            raise UnseeError("a student needs photographs, and a teacher at least")
        if self.rounds < 1 or not 0 <= self.settled < 1 or min(self.backbone_rate, self.feature_budget) < 0:
            raise UnseeError("rounds must be at least 1, settled in 0..1, backbone_rate and feature_budget at least 0")
        if not 0 < self.kept <= 1 or not 0 <= self.smallest_object < self.largest_object <= 1:
            raise UnseeError("kept must be in 0..1 and above 0, the smallest object below the largest, both in 0..1")
        if self.input_size % SIZE_STEPS["student"] or self.input_size < SIZE_STEPS["student"]:
            raise UnseeError(
                f"the input of a student must be a multiple of {SIZE_STEPS['student']}, got {self.input_size}"
            )

    def settings(self) -> dict[str, Any]:
        """See `TrainingConfig.settings`; models go by their names, wherever they lie."""
        kept = {name: value for name, value in super().settings().items() if name not in FREE_HERE}
        names = [Path(teacher).name for teacher in self.teachers]
        return {**kept, "teachers": names, "start": Path(self.start).name}

    def round_folder(self, number: int) -> Path:
        """Return where round `number`, from 1, keeps its state and its labels."""
        return self.output / "rounds" / str(number)
