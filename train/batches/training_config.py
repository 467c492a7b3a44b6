"""What every training has in its configuration, and what a resumed one must agree in. No torch needed."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from ...errors import UnseeError
from ...files import digest_of

Schedule = Literal["constant", "cosine", "steps"]
Precision = Literal["auto", "float32", "bfloat16"]

FREE = ("output", "workers", "threads", "save_every", "device")
"""Fields that do not decide the weights."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The part of a configuration that `run_course` serves.

    output: directory of the checkpoint. save_every: steps between saved states. device: auto, cpu or cuda.
    """

    output: Annotated[Path, "directory of the new checkpoint; the same command again resumes"]
    epochs: Annotated[int, "passes over the images"] = 20
    batch: Annotated[int, "images a step, of all processes together"] = 64
    learning_rate: Annotated[float, "largest learning rate"] = 1e-3
    seed: Annotated[int, "seed of weights, order and augmentation"] = 0
    threads: Annotated[int | None, "processor threads (default: all)"] = None
    save_every: Annotated[int, "steps between saved states"] = 200
    device: Annotated[str, "auto, cpu or cuda"] = "auto"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UnseeError(f"{name} must be a number, got {value}")
        if min(self.epochs, self.batch, self.save_every) < 1 or self.learning_rate <= 0:
            raise UnseeError("epochs, batch and save_every must be at least 1, learning_rate above 0")
        if self.threads is not None and self.threads < 1:
            raise UnseeError(f"threads must be at least 1, got {self.threads}")

    def settings(self) -> dict[str, Any]:
        """Return, as JSON, what decides the weights: all but places, workers and how often to save."""
        kept = {name: value for name, value in asdict(self).items() if name not in FREE}
        return json.loads(json.dumps(kept, default=str))

    def digest(self) -> str:
        """Return what a resumed training must agree in."""
        return digest_of(self.settings())
