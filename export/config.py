"""What one descent does, as plain numbers: the same record configures eager, compiled and exported sessions."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UnseeError

Cost = Literal["clamp", "log-prob", "masked"]
Gradient = Literal["normalized", "raw"]


@dataclass(frozen=True)
class DescentConfig:
    """Constants of the descent (spec sections 1.2, 1.3, 2.1, 2.5).

    cost: `clamp` (B1) lowers the target's logit and holds the others; `log-prob` (A1) lowers its log probability;
        `masked` (A3, A4) raises the log probability of the target, a node of a network trained on masked images.
    gamma: weight of the clamp (B1).
    gradient: `raw`, or `normalized` to 0..1 per channel and image.
    gradient_floor: gradient values below this become it, 0 in (A2, B2); minus infinity keeps the signed gradient.
    step: step size; grey levels for a normalised gradient, (grey levels)^2 per unit of cost for a raw one.
    step_decay: factor on the step size after each iteration.
    iterations: number T of forward and backward passes.
    clip: keep pixels within 0..255 (neither paper does).
    """

    cost: Cost = "clamp"
    gamma: float = 100.0
    gradient: Gradient = "normalized"
    gradient_floor: float = 0.0
    step: float = 20.0
    step_decay: float = 0.999
    iterations: int = 35
    clip: bool = False

    def __post_init__(self) -> None:
        if self.cost not in ("clamp", "log-prob", "masked"):
            raise UnseeError(f"cost must be clamp, log-prob or masked, got {self.cost!r}")
        if self.gradient not in ("normalized", "raw"):
            raise UnseeError(f"gradient must be normalized or raw, got {self.gradient!r}")
        if self.iterations < 1:
            raise UnseeError(f"iterations must be at least 1, got {self.iterations}")
        if not (self.step > 0 and self.step_decay > 0 and self.gamma >= 0):
            raise UnseeError("step and step_decay must be above zero, gamma at least zero")

    def step_at(self, iteration: int) -> float:
        """Return the step size of an iteration, counted from 0."""
        return self.step * self.step_decay**iteration
