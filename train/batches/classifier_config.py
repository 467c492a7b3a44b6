"""What the training of a classifier does, as one checked record. No torch needed."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ...errors import UnseeError
from ...files import digest_of
from ..data.catalogue import DATA_HELP
from ..data.masking import Fill
from ..networks.model_names import DEFAULT_NAME

Variant = Literal["cnn1", "cnn2", "cnn3"]
FineTuning = Literal["all", "last-faster", "last-only"]
Schedule = Literal["constant", "cosine", "steps"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class ClassifierConfig:
    """The training of one classifier.

    training, validation: data sets, see `catalogue.FORMS`. output: directory of the checkpoint. variant: cnn1 sees whole
    images, cnn2 masked ones, cnn3 both, with 2N outputs. finetune: B's three methods, one learning rate for all layers,
    a `last_factor` times larger one for the last, or the last layer alone. start: classifier whose weights it starts
    from, or random:NETWORK. schedule: constant, half a cosine to 0, or a tenth after each third.
    fill: see `masked_pixels`. save_every: steps between saved states. precision: auto is bfloat16 on a GPU.
    """

    training: Annotated[str, DATA_HELP]
    validation: Annotated[str, "data set that errors are measured on, written likewise"]
    output: Annotated[Path, "directory of the new checkpoint; the same command again resumes"]
    variant: Annotated[Variant, "trained on images, on masked images, or on both"] = "cnn1"
    finetune: Annotated[FineTuning, "all layers, all but the last one faster, the last only"] = "all"
    start: Annotated[str, "classifier to start from, or random:NETWORK"] = DEFAULT_NAME
    input_size: Annotated[int | None, "side of the input in pixels (default: of the start)"] = None
    epochs: Annotated[int, "passes over the samples"] = 20
    batch: Annotated[int, "samples a step, of all processes together"] = 64
    learning_rate: Annotated[float, "largest learning rate"] = 1e-3
    momentum: Annotated[float, "of stochastic gradient descent"] = 0.9
    weight_decay: Annotated[float, "weight decay"] = 5e-4
    last_factor: Annotated[float, "of the last layer's rate, for last-faster"] = 10.0
    schedule: Annotated[Schedule, "of the learning rate"] = "cosine"
    augment: Annotated[bool, "crop and mirror by chance"] = True
    fill: Annotated[Fill, "what masked objects become"] = "mean"
    seed: Annotated[int, "seed of weights, order and augmentation"] = 0
    workers: Annotated[int, "processes that read images"] = 0
    threads: Annotated[int | None, "processor threads (default: all)"] = None
    save_every: Annotated[int, "steps between saved states"] = 200
    device: Annotated[str, "auto, cpu or cuda"] = "auto"
    precision: Annotated[Precision, "auto: bfloat16 on a GPU"] = "auto"

    def __post_init__(self) -> None:
        for name, kind in (("variant", Variant), ("finetune", FineTuning), ("schedule", Schedule), ("fill", Fill)):
            if getattr(self, name) not in get_args(kind):
                raise UnseeError(f"{name} must be one of {get_args(kind)}, got {getattr(self, name)!r}")
        if min(self.epochs, self.batch, self.save_every) < 1 or self.workers < 0:
            raise UnseeError("epochs, batch and save_every must be at least 1, workers at least 0")
        if self.learning_rate <= 0 or self.last_factor <= 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1:
            raise UnseeError("learning_rate and last_factor must be above 0, weight_decay at least 0, momentum in 0..1")

    def settings(self) -> dict[str, Any]:
        """Return, as JSON, what decides the weights: all but places, workers and how often to save."""
        free = {"output", "workers", "threads", "save_every", "device"}
        return {name: value for name, value in asdict(self).items() if name not in free}

    def digest(self) -> str:
        """Return what a resumed training must agree in."""
        return digest_of(self.settings())
