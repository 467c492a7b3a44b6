"""What the training of a classifier does, as one checked record. No torch needed."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from ...errors import UnseeError
from ..data.catalogue import DATA_HELP
from ..data.masking import Fill
from ..networks.model_names import DEFAULT_NAME
from .training_config import Precision, Schedule, TrainingConfig

Variant = Literal["cnn1", "cnn2", "cnn3"]
FineTuning = Literal["all", "last-faster", "last-only"]


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(TrainingConfig):
    """The training of one classifier.

    training, validation: data sets, see `catalogue.FORMS`. variant: cnn1 sees whole images, cnn2 masked ones, cnn3 both,
    with 2N outputs. finetune: B's three methods, one learning rate for all layers, a `last_factor` times larger one for
    the last, or the last layer alone. start: classifier whose weights it starts from, or random:NETWORK. schedule:
    constant, half a cosine to 0, or a tenth after each third. fill: see `masked_pixels`. precision: auto is bfloat16 on
    a GPU.
    """

    training: Annotated[str, DATA_HELP]
    validation: Annotated[str, "data set that errors are measured on, written likewise"]
    variant: Annotated[Variant, "trained on images, on masked images, or on both"] = "cnn1"
    finetune: Annotated[FineTuning, "all layers, all but the last one faster, the last only"] = "all"
    start: Annotated[str, "classifier to start from, or random:NETWORK"] = DEFAULT_NAME
    input_size: Annotated[int | None, "side of the input in pixels (default: of the start)"] = None
    momentum: Annotated[float, "of stochastic gradient descent"] = 0.9
    weight_decay: Annotated[float, "weight decay"] = 5e-4
    last_factor: Annotated[float, "of the last layer's rate, for last-faster"] = 10.0
    schedule: Annotated[Schedule, "of the learning rate"] = "cosine"
    augment: Annotated[bool, "crop and mirror by chance"] = True
    fill: Annotated[Fill, "what masked objects become"] = "mean"
    workers: Annotated[int, "processes that read images"] = 0
    precision: Annotated[Precision, "auto: bfloat16 on a GPU"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in (("variant", Variant), ("finetune", FineTuning), ("schedule", Schedule), ("fill", Fill)):
            if getattr(self, name) not in get_args(kind):
                raise UnseeError(f"{name} must be one of {get_args(kind)}, got {getattr(self, name)!r}")
        if self.workers < 0:
            raise UnseeError(f"workers must be at least 0, got {self.workers}")
        if self.last_factor <= 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1:
            raise UnseeError("last_factor must be above 0, weight_decay at least 0, momentum in 0..1")
