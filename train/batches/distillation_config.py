"""The settings of a distillation. No torch needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ...errors import UnseeError
from .training_config import Precision, TrainingConfig

CELL = 8
"""Side in pixels of one cell of a crop's object map."""


@dataclass(frozen=True, kw_only=True)
class DistillConfig(TrainingConfig):
    """What one distillation does.

    images: directories of photographs. teachers: checkpoints.
    side: of the training crops on average, in pixels, a multiple of the cell. input_size: of the finished network.
    crops: fixed crops of each photograph. held_out: part of the photographs never trained on.
    epochs: passes over the photographs, one crop of each. prediction_weight, attention_weight: factors on the two losses.
    precision: of the convolutions; `bfloat16` wants a processor with such instructions.
    """

    images: Annotated[tuple[Path, ...], "folder of photographs; may be given several times"]
    teachers: Annotated[tuple[Path, ...], "checkpoint directory of a teacher; may be given several times"]
    side: int = 128
    input_size: Annotated[int, "side of the classifier's input in pixels"] = 160
    crops: Annotated[int, "fixed crops of each photograph"] = 12
    held_out: Annotated[float, "part of the photographs never trained on"] = 0.1
    epochs: Annotated[int, "passes over the photographs"] = 80
    learning_rate: float = 2e-3
    prediction_weight: float = 1.0
    attention_weight: float = 20.0
    weight_decay: float = 0.02
    threads: Annotated[int | None, "processor threads"] = 1
    precision: Precision = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side < 4 * CELL or self.side % CELL:
            raise UnseeError(f"side must be a multiple of {CELL} and at least {4 * CELL}, got {self.side}")
        if not 0 <= self.held_out < 1:
            raise UnseeError(f"held_out must be at least 0 and below 1, got {self.held_out}")
        if self.crops < 1:
            raise UnseeError(f"crops must be at least 1, got {self.crops}")
        if not self.teachers:
            raise UnseeError("distillation needs at least one teacher")

    def settings(self) -> dict[str, Any]:
        """Return what decides the weights, with folders and teachers by their names alone."""
        named = {"images": [path.name for path in self.images], "teachers": [path.name for path in self.teachers]}
        return super().settings() | named
