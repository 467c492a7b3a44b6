"""What is stored of an image, as plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, get_args

from ...errors import UnseeError

OTSU = "otsu"
OutputKind = Literal["map", "mask", "cutout", "crop"]


@dataclass(frozen=True)
class PictureConfig:
    """What is stored of an image.

    output_kind: the map; a mask, 0 and 255; a cut-out, RGBA, transparent where the mask is 0; a crop, the photograph
    within the object's box and a margin, or all of it where nothing is marked. threshold: what counts as the object where
    no `segment` makes masks. margin: share of the box's sides.
    """

    output_kind: Annotated[
        OutputKind, "the map, a mask, the object cut out (RGBA), or the photograph cropped to it"
    ] = "map"
    threshold: Annotated[str, "what is the object: otsu, or a value of the map from 0 to 1"] = OTSU
    margin: Annotated[float, "around a crop, as a share of the object's box"] = 0.05

    def __post_init__(self) -> None:
        if self.output_kind not in get_args(OutputKind):
            raise UnseeError(f"output kind must be one of {get_args(OutputKind)}, got {self.output_kind!r}")
        if not 0 <= self.margin <= 10:
            raise UnseeError(f"margin must be 0 to 10, got {self.margin}")
        if self.threshold != OTSU and not _is_share(self.threshold):
            raise UnseeError(f"threshold must be otsu or a number from 0 to 1, got {self.threshold!r}")

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, what decides the bytes of what is stored; a margin does so of a crop only."""
        return asdict(self if self.output_kind == "crop" else replace(self, margin=PictureConfig.margin))

    @property
    def needs_photograph(self) -> bool:
        """Whether the stored picture shows the photograph, at its full size."""
        return self.output_kind in ("cutout", "crop")


def stored_kind(identity: Mapping[str, Any]) -> OutputKind:
    """Return what a run has stored, by its identity."""
    return identity.get("pictures", {}).get("output_kind", "map")


def check_holds_maps(folder: object, identity: Mapping[str, Any]) -> None:
    """Raise `UnseeError` where a run, by its identity, has stored no maps that can be read as images."""
    stored, kind = identity.get("output_format"), stored_kind(identity)
    if stored != "files":
        raise UnseeError(f"{folder} is a run whose maps are no files but {stored}: make it with --output-format files")
    if kind in ("cutout", "crop"):
        raise UnseeError(f"{folder} is a run whose pictures are no maps but {kind}s: make it with --output-kind map")


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
