"""What one descent does, as plain numbers: the same record configures eager, compiled and exported runs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ...errors import UnseeError
from ...fields import Limits, check_fields
from .costs import Cost

Gradient = Literal["normalized", "raw"]
Precision = Literal["fp32", "fp16", "bf16", "fp64"]
"""What a network's layers compute in; pixels, logits and the cost stay in float32, or in double precision with fp64."""

DESCENT_LIMITS: dict[str, Limits] = {
    "gamma": (0, 1e6),
    "gradient_floor": (float("-inf"), 1e6),
    "step": (0, 1e7),
    "step_decay": (0, 1),
    "iterations": (1, 10_000),
}
"""From and to which constant a descent is sane; what is beyond is a slip or a hostile file."""


@dataclass(frozen=True)
class DescentConfig:
    """Constants of the descent (spec sections 1.2, 1.3, 2.1, 2.5).

    cost: see `costs`.
    """

    cost: Annotated[Cost, "what the descent lowers"] = "clamp"
    gamma: Annotated[float, "weight of the clamp"] = 100.0
    gradient: Annotated[Gradient, "raw, or scaled to 0..1 per channel and image"] = "normalized"
    gradient_floor: Annotated[float, "smaller gradient values become this: 0 in A2, -inf keeps the signed gradient"] = (
        0.0
    )
    step: Annotated[float, "step size in grey levels, per unit of a raw gradient"] = 20.0
    step_decay: Annotated[float, "factor on the step size after each iteration"] = 0.999
    iterations: Annotated[int, "number T of forward and backward passes"] = 35
    clip: Annotated[bool, "keep pixels within 0..255"] = False

    def __post_init__(self) -> None:
        check_fields(self, DESCENT_LIMITS)
        if not (self.step > 0 and self.step_decay > 0):
            raise UnseeError("step and step_decay must be above zero")

    def step_at(self, iteration: int) -> float:
        """Return the step size of an iteration, counted from 0."""
        return self.step * self.step_decay**iteration
