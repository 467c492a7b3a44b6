"""What anybody's map network takes and gives: how an image comes onto its grid, and how its output becomes a map."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from ....errors import UnseeError
from ....fields import check_fields, mapping, number, whole
from ....resizing import Filter, Mode, Resizing, Sides
from ..metadata import LARGEST_INPUT, InputSpec, sides_of

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
        """Build the specification from a bundle's `input` object; one of unequal sides is an `OblongInput`."""
        value = mapping(value, "input")
        height, width = sides_of(value["size"], "size")
        size = max(height, width)
        own = {item.name for item in fields(NetworkInput)} - {item.name for item in fields(InputSpec)}
        values = {
            **vars(InputSpec.from_json({**value, "size": size})),
            **{name: value[name] for name in own if name in value},
        }
        return NetworkInput(**values) if height == width else OblongInput(**values, height=height, width=width)


@dataclass(frozen=True)
class OblongInput(NetworkInput):
    """The input of a network that takes images of unequal sides.

    height, width: of the images. size: the larger of the two, the side of the square grid that they lie on, at its top left.
    """

    height: int = 0
    width: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.sides) < 1 or max(self.sides) != self.size:
            raise UnseeError(f"size must be the larger of height and width, got {self.size} for {self.sides}")

    @property
    def sides(self) -> Sides:
        """See `InputSpec.sides`."""
        return self.height, self.width

    @property
    def resizing(self) -> Resizing:
        """See `NetworkInput.resizing`."""
        return replace(super().resizing, sides=self.sides)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `NetworkInput.from_json` reads."""
        values = asdict(self)
        del values["height"], values["width"]
        return {**values, "size": list(self.sides)}


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
