"""What anybody's map network takes and gives: how an image comes onto its grid, and how its output becomes a map."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from ....errors import UnseeError
from ....fields import check_fields, number, whole
from ....resizing import Filter, Mode, Resizing
from ..metadata import LARGEST_INPUT, InputSpec

Scale = Literal["fixed", "largest"]
Activation = Literal["none", "sigmoid", "minmax", "sigmoid-minmax"]


@dataclass(frozen=True)
class NetworkInput(InputSpec):
    """An input specification with what networks of other people do otherwise.

    scale: what becomes `range`, 255 (fixed) or the image's own largest value, as rembg has it (largest). resize, resample,
    padding: see `Resizing`.
    """

    scale: Scale = "fixed"
    resize: Mode = "stretch"
    resample: Filter = "bilinear"
    padding: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"size": (1, LARGEST_INPUT), "padding": (0, 255)})

    @property
    def resizing(self) -> Resizing:
        """How images come onto the grid."""
        return Resizing(self.resize, self.resample, self.padding)

    @classmethod
    def from_json(cls, value: Any) -> "NetworkInput":
        """Build the specification from a bundle's `input` object."""
        own = {item.name for item in fields(NetworkInput)} - {item.name for item in fields(InputSpec)}
        return cls(**vars(InputSpec.from_json(value)), **{name: value[name] for name in own if name in value})


@dataclass(frozen=True)
class NetworkOptions:
    """How a network's output becomes a map of 0..1.

    activation: what it still needs: nothing, a sigmoid, to be stretched from its own least to its own largest value, or
    both. output: the name of the output that is the map. alone: whether images go through one at a time, since the graph
    has the size of its batch built in.
    """

    activation: Activation = "none"
    output: str = ""
    alone: bool = False

    def __post_init__(self) -> None:
        check_fields(self, {})


@dataclass(frozen=True)
class NetworkChoice:
    """What a user says of a map network of other people's; what is None its sidecar says, or it is a known one."""

    like: Annotated[str | None, "method network: the known network whose input and output it has"] = None
    output_name: Annotated[str | None, "method network: the output that is the map (default: the first)"] = None
    activation: Annotated[Activation | None, "method network: what its output still needs"] = None
    channel_order: Annotated[Literal["RGB", "BGR"] | None, "method network: order of its channels"] = None
    input_range: Annotated[float | None, "method network: pixels become 0 to this before --mean and --std"] = None
    scale: Annotated[Scale | None, "method network: divide by 255, or by the image's largest value"] = None
    resize_mode: Annotated[Mode | None, "method network: stretch images, or keep proportions in borders"] = None
    resample: Annotated[Filter | None, "method network: filter of images and maps"] = None
    padding: Annotated[int | None, "method network: grey level of the borders of letterbox, 0 to 255"] = None

    def __post_init__(self) -> None:
        if self.input_range is not None and number(self.input_range, "input range", 0, 65535) == 0:
            raise UnseeError("input range must be above 0")
        if self.padding is not None:
            whole(self.padding, "padding", 0, 255)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return self == NO_CHOICE

    def first(self) -> str:
        """Return the option that says the first of what was said."""
        return "--" + next(name for name, value in vars(self).items() if value is not None).replace("_", "-")

    def values(self) -> dict[str, Any]:
        """Return what was said, by the names of a sidecar."""
        names = {"input_range": "range", "resize_mode": "resize"}
        return {names.get(name, name): value for name, value in vars(self).items() if value is not None}


NO_CHOICE = NetworkChoice()
"""The network's sidecar, or the table of known networks, says all."""
