"""Measuring how well a session of a promoter or an attentional network agrees with eager PyTorch."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import VerificationError
from .map_sessions import MapSession
from .parity import LARGEST_EXCESS
from .probes import Shape, StoredProbe

LARGEST_DIFFERENCE = 2 / 255
"""How far a pixel of a map in 0..1 may be off where PyTorch's own rounding error is not more than half of it."""
LARGEST_MEAN = 0.1 / 255
"""How far pixels may be off on average, whatever PyTorch's rounding error."""


@dataclass(frozen=True)
class MapProbe(StoredProbe):
    """Images and the maps that eager PyTorch made of them.

    images: uint8 [B,S,S,3]. maps: float32 [B,S,S] in 0..1, computed in double precision. eager_difference: how far a
    pixel is off at most in float32. priors: float32 [B,S,S], what a promoter promoted, else None.
    """

    arrays: ClassVar[Mapping[str, tuple[str, Shape]]] = {
        "images": ("uint8", ("B", "S", "S", 3)),
        "maps": ("float32", ("B", "S", "S")),
        "priors": ("float32", ("B", "S", "S")),
    }
    images: np.ndarray
    maps: np.ndarray
    eager_difference: float
    images_per_second: float
    priors: np.ndarray | None = None


@dataclass(frozen=True)
class MapParity:
    """How a session agrees with eager PyTorch, and how fast each was.

    difference, mean_difference: largest and mean absolute difference of a map's pixel from PyTorch in double precision,
    maps being in 0..1. eager_difference: the largest one of PyTorch in float32. Attention with large logits picks one
    position, and where two are equal but for rounding, chance says which.
    """

    difference: float
    mean_difference: float
    eager_difference: float
    images: int
    images_per_second: float
    eager_images_per_second: float
    backend: str
    device: str

    @property
    def holds(self) -> bool:
        """Whether the session may be used instead of eager PyTorch."""
        allowed = max(LARGEST_DIFFERENCE, LARGEST_EXCESS * self.eager_difference)
        return self.difference <= allowed and self.mean_difference <= LARGEST_MEAN

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report for a person, a line each."""
        return [
            f"maps: at most {255 * self.difference:.3g} levels of 255 from double precision "
            f"({255 * self.eager_difference:.3g} by PyTorch in float32), {255 * self.mean_difference:.1g} on average, "
            f"on {self.images} images",
            f"speed: {self.images_per_second:.2f} images/s with {self.backend} on {self.device}, "
            f"{self.eager_images_per_second:.2f} with eager PyTorch when exported",
        ]

    def require(self, what: object) -> None:
        """Raise `VerificationError` unless the parity holds."""
        if not self.holds:
            raise VerificationError(f"{what} does not agree with PyTorch: {self.lines()[0]}")


def make_map_probe(eager: MapSession, exact: MapSession, images: np.ndarray, priors: np.ndarray | None) -> MapProbe:
    """Run eager PyTorch, in float32 and in double precision, on images and for a promoter on their priors.

    images: uint8 [B,S,S,3]. priors: float32 [B,S,S].
    """
    maps, seconds = _timed(eager, images, priors)
    expected = exact.maps(images, priors)
    return MapProbe(images, expected, float(np.abs(maps - expected).max()), len(images) / seconds, priors)


def measure_maps(probe: MapProbe, session: MapSession) -> MapParity:
    """Compare a session with a probe."""
    if session.info.device != "cpu":
        session.maps(probe.images, probe.priors)  # the first batch chooses algorithms
    maps, seconds = _timed(session, probe.images, probe.priors)
    difference = np.abs(maps - probe.maps)
    return MapParity(
        difference=float(np.where(np.isfinite(difference), difference, np.inf).max()),
        mean_difference=float(difference.mean()),
        eager_difference=probe.eager_difference,
        images=len(maps),
        images_per_second=len(maps) / seconds,
        eager_images_per_second=probe.images_per_second,
        backend=session.info.backend,
        device=session.info.device,
    )


def _timed(session: MapSession, images: np.ndarray, priors: np.ndarray | None) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    maps = session.maps(images, priors)
    return maps, time.perf_counter() - started
