"""The report of parity: a tuple of checks, the same for every kind of network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import VerificationError

LARGEST_EXCESS = 2.0
"""How many times PyTorch's own rounding error a runner's may be where that is above the plain limit."""


@dataclass(frozen=True)
class Check:
    """A measured value, and the largest that is allowed."""

    name: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the value is allowed; what is no number is not."""
        return self.value <= self.limit

    def line(self) -> str:
        """Return the check for a person."""
        verdict = "" if self.holds else ": TOO MUCH"
        return f"{self.name}: {self.value:.3g}, at most {self.limit:.3g}{verdict}"


@dataclass(frozen=True)
class Speed:
    """Images a second of a runner and, when the bundle was made, of the reference; what the runner was, and where."""

    images_per_second: float
    eager_images_per_second: float
    backend: str
    device: str


@dataclass(frozen=True)
class Parity:
    """How a runner agrees with a reference on so many images, and how fast each was."""

    checks: tuple[Check, ...]
    images: int
    speed: Speed
    reference: str = "eager PyTorch"

    @property
    def holds(self) -> bool:
        """Whether the runner may be used instead of the reference."""
        return all(check.holds for check in self.checks)

    def value(self, name: str) -> float:
        """Return the value of a check."""
        return next(check.value for check in self.checks if check.name == name)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Parity":
        """Return the report that `to_json` wrote."""
        checks = tuple(Check(**check) for check in value["checks"])
        return cls(checks, value["images"], Speed(**value["speed"]), value.get("reference", cls.reference))

    def lines(self) -> list[str]:
        """Return the report for a person, a line each."""
        speed = self.speed
        return [
            *(check.line() for check in self.checks),
            f"speed on {self.images} images: {speed.images_per_second:.2f} images/s with {speed.backend} on "
            f"{speed.device}, {speed.eager_images_per_second:.2f} with {self.reference} when exported",
        ]

    def require(self, what: object) -> None:
        """Raise `VerificationError` unless the parity holds."""
        if not self.holds:
            failed = "; ".join(check.line() for check in self.checks if not check.holds)
            raise VerificationError(f"{what} does not agree with {self.reference}: {failed}")
