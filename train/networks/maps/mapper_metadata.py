"""What the checkpoint of a network that makes or promotes maps says of it. No torch needed."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ....errors import UnseeError
from ....fields import check_fields, mapping, text, whole
from ....resizing import STRETCHED, Resizing
from ..metadata import LARGEST_INPUT, MODEL_FILE, InputSpec, holds_file, read_json, read_object, understood
from .network_input import NetworkInput, NetworkOptions

Kind = Literal["promoter", "attentional", "student", "network"]
"""The last is anybody's network, which makes maps and of which nothing else is known."""
Preset = Literal["paper", "release", "default"]
BackboneName = Literal["vgg16", "squeezenet1_1", "unsee_small"]
"""Those of promoters and attentional networks; a student has others, too (see `student_backbones`)."""
Region = Literal["conv", "fc"]
RegionChoice = Literal["soft", "adaptive", "half"]

BACKBONED = ("promoter", "attentional")
"""The kinds that have a backbone of `BackboneName`."""
MOST_CHANNELS = 8192
MOST_LEVELS = 8
MOST_PASSES = 1000
SIZE_STEPS: dict[str, int] = {"promoter": 16, "attentional": 16, "student": 32, "network": 1}
"""Inputs are multiples of it, so that every feature map is an exact part of them."""


@dataclass(frozen=True)
class PromoterOptions:
    """Constants of the anchor network (spec 3.4, 3.7).

    channels: C, of each block after upsampling. embedding: D. grid: pixels a side that share one embedding; 1 is the
    paper's, blocks finer than it are left out. region: anchors average embedded pixels (conv), or embed the average (fc).
    regions: prior and 1 - prior as weights (soft), or cut at twice the mean (adaptive) or at one half. iterations: T.
    """

    channels: Annotated[int, "C, of every block after upsampling"] = 64
    embedding: Annotated[int, "D, of the space of pixels and anchors"] = 512
    grid: Annotated[int, "pixels a side of the finest features"] = 1
    region: Annotated[Region, "embed regions before (conv) or after averaging (fc)"] = "conv"
    regions: RegionChoice = "soft"
    iterations: Annotated[int, "T of the paper"] = 1

    def __post_init__(self) -> None:
        channels = (1, MOST_CHANNELS)
        check_fields(self, {"channels": channels, "embedding": channels, "iterations": (1, MOST_PASSES)})
        if self.grid not in (1, 2, 4, 8):
            raise UnseeError(f"grid must be one of 1, 2, 4, 8, got {self.grid}")


@dataclass(frozen=True)
class AttentionalOptions:
    """Constants of the attentional recurrent network (spec 4.6).

    widths: channels of the attended maps, deepest level first, multiples of 8; one is left out at the end for every
    level that the backbone lacks. recurrent: K, feature maps of a recurrent layer. iterations: its T.
    grid: stride of the finest level. pooled_keys: side of the cells over which the finest level averages what it attends
    to; 1 is exact. deep_supervision: a further loss at every level. block: queries attended to at a time.
    """

    widths: tuple[int, ...] = (256, 128, 64, 64)
    recurrent: int = 64
    iterations: Annotated[int, "T of the paper"] = 3
    grid: Annotated[int, "pixels a side of the finest features"] = 2
    pooled_keys: Annotated[int, "side of the cells that the finest level attends to; 1 is exact"] = 1
    deep_supervision: Annotated[bool, "a further loss at every level"] = False
    block: int = 392

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        for width in self.widths:
            whole(width, "a width", 8, MOST_CHANNELS)
        if not 2 <= len(self.widths) <= MOST_LEVELS or any(width % 8 for width in self.widths):
            raise UnseeError(f"widths must be 2 to {MOST_LEVELS} multiples of 8, got {self.widths}")
        limits = {"recurrent": (1, MOST_CHANNELS), "iterations": (0, MOST_PASSES)}
        check_fields(self, {**limits, "pooled_keys": (1, LARGEST_INPUT), "block": (1, LARGEST_INPUT**2)})
        if self.grid not in (2, 4, 8):
            raise UnseeError(f"grid must be one of 2, 4, 8, got {self.grid}")


@dataclass(frozen=True)
class StudentOptions:
    """Constants of a student's head. width: channels of every level. dropout: share of a level's channels, in training."""

    width: Annotated[int, "channels of every level of the head"] = 64
    dropout: Annotated[float, "share of the features' channels left out by chance in training"] = 0.1

    def __post_init__(self) -> None:
        check_fields(self, {"width": (1, MOST_CHANNELS), "dropout": (0, 0.9)})


Options = PromoterOptions | AttentionalOptions | StudentOptions | NetworkOptions
OPTIONS: dict[str, type[Options]] = {
    "promoter": PromoterOptions,
    "attentional": AttentionalOptions,
    "student": StudentOptions,
    "network": NetworkOptions,
}
PRESETS: dict[str, tuple[str, ...]] = {
    "promoter": ("paper", "release"), "attentional": ("default",), "student": ("default",),
    "network": ("default",),
}  # fmt: skip


@dataclass(frozen=True)
class MapMetadata:
    """model.json of a network that makes or promotes maps: kind, preset, backbone, input, constants, origin.

    backbone: of anybody's network, what it is called. frozen: the classifier whose convolutions are a student's backbone,
    unchanged: the checkpoint holds its head alone.
    """

    kind: Kind
    preset: Preset
    backbone: str
    input: InputSpec
    options: Options
    provenance: dict[str, Any] = field(default_factory=dict)
    frozen: str = ""

    def __post_init__(self) -> None:
        check_fields(self, {})
        if self.preset not in PRESETS[self.kind]:
            raise UnseeError(f"preset of {self.kind} must be one of {PRESETS[self.kind]}, got {self.preset!r}")
        if not isinstance(self.options, OPTIONS[self.kind]):
            raise UnseeError(f"{self.kind} needs {OPTIONS[self.kind].__name__}, got {type(self.options).__name__}")
        if self.kind in BACKBONED and self.backbone not in get_args(BackboneName):
            raise UnseeError(f"backbone of {self.kind} must be one of {get_args(BackboneName)}, got {self.backbone!r}")
        if self.frozen and self.kind != "student":
            raise UnseeError(f"{self.kind} has a backbone of its own: frozen belongs to a student")
        step = SIZE_STEPS[self.kind]
        if self.input.size % step:
            raise UnseeError(f"the input of {self.kind} must be a multiple of {step}, got {self.input.size}")

    @property
    def resizing(self) -> Resizing:
        """How images come onto the grid."""
        return self.input.resizing if isinstance(self.input, NetworkInput) else STRETCHED

    @property
    def alone(self) -> bool:
        """Whether images go through one at a time."""
        return isinstance(self.options, NetworkOptions) and self.options.alone

    def to_json(self) -> dict[str, Any]:
        """Return the object that `from_json` reads."""
        return {**asdict(self), "input": self.input.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "MapMetadata":
        """Build the metadata from model.json."""
        kind = value["kind"]
        if kind not in get_args(Kind):
            raise UnseeError(f"kind must be one of {get_args(Kind)}, got {kind!r}")
        options = OPTIONS[kind](**mapping(value["options"], "options"))
        spec = (NetworkInput if kind == "network" else InputSpec).from_json(value["input"])
        provenance = mapping(value.get("provenance", {}), "provenance")
        frozen = text(value.get("frozen", ""), "frozen")
        return cls(kind, value["preset"], value["backbone"], spec, options, provenance, frozen)


def is_map_checkpoint(path: str | Path) -> bool:
    """Return whether `path` is the directory of a map network."""
    if not holds_file(path, MODEL_FILE):
        return False
    try:
        value = read_json(Path(path) / MODEL_FILE)
    except UnseeError:
        return False
    return isinstance(value, dict) and value.get("kind") in get_args(Kind) and value["kind"] != "network"


def read_map_metadata(directory: Path) -> MapMetadata:
    """Read the description of a map network; `UnseeError` where it is missing or malformed."""
    path, what = Path(directory) / MODEL_FILE, "the description of a map network"
    value = read_object(path, what)
    with understood(path, what):
        return MapMetadata.from_json(value)


def with_iterations(metadata: MapMetadata, iterations: int | None) -> MapMetadata:
    """Return a promoter's metadata with another number of passes T, the same where None."""
    if iterations is None:
        return metadata
    if not isinstance(metadata.options, PromoterOptions):
        raise UnseeError(f"iterations belong to a promoter, this is of kind {metadata.kind}")
    return replace(metadata, options=replace(metadata.options, iterations=iterations))
