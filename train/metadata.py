"""What a checkpoint or a bundle says of its network: input specification, classes and origin. No torch needed."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UnseeError

MODEL_FILE = "model.json"


@dataclass(frozen=True)
class InputSpec:
    """How pixels become the input: reorder channels, scale 0..255 to `range`, subtract `mean`, divide by `std`.

    `size` is the side of the square input in pixels; `mean` and `std` are in `range` units and in `channel_order`.
    """

    size: int = 224
    channel_order: Literal["RGB", "BGR"] = "RGB"
    range: float = 1.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise UnseeError(f"input size must be 1 to 4096 pixels, got {self.size}")
        if self.channel_order not in ("RGB", "BGR"):
            raise UnseeError(f"channel_order must be RGB or BGR, got {self.channel_order!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0 or self.range <= 0:
            raise UnseeError("mean and std need three values each, std and range above zero")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "InputSpec":
        """Build the specification from model.json's or bundle.json's `input` object."""
        return cls(
            size=int(value["size"]),
            channel_order=value["channel_order"],
            range=float(value["range"]),
            mean=tuple(map(float, value["mean"])),  # pyright: ignore[reportArgumentType]  # length checked on construction
            std=tuple(map(float, value["std"])),  # pyright: ignore[reportArgumentType]
        )


@dataclass(frozen=True)
class Label:
    """One class of a classifier."""

    name: str
    wnid: str | None = None


@dataclass(frozen=True)
class Metadata:
    """model.json: network (a name in `networks.NETWORKS`), input, number of classes and origin of the weights."""

    network: str
    input: InputSpec
    classes: int
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Metadata":
        """Build the metadata from model.json; keys that are not ours are kept under `provenance`."""
        known = {"network", "input", "classes", "provenance"}
        other = {key: item for key, item in value.items() if key not in known and isinstance(item, str)}
        return cls(
            network=value["network"],
            input=InputSpec.from_json(value["input"]),
            classes=int(value["classes"]),
            provenance={**other, **value.get("provenance", {})},
        )


def read_metadata(path: Path) -> Metadata:
    """Read model.json; a missing or malformed file is one clear error."""
    value = read_json(path)
    try:
        return Metadata.from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnseeError(f"{path}: not a model description ({type(error).__name__}: {error})") from None


def read_labels(path: Path, classes: int) -> tuple[Label, ...]:
    """Read labels.json, a list of names or of {wnid, name}; its length must be `classes`."""
    value = read_json(path)
    if not isinstance(value, list):
        raise UnseeError(f"{path}: expected a list of labels, got {type(value).__name__}")
    if len(value) != classes:
        raise UnseeError(f"{path}: {len(value)} labels, but the network has {classes} classes")
    return tuple(Label(item) if isinstance(item, str) else Label(item["name"], item.get("wnid")) for item in value)


def labels_to_json(labels: tuple[Label, ...]) -> list[dict[str, str | None]]:
    """Return the list that `read_labels` reads."""
    return [{"wnid": label.wnid, "name": label.name} for label in labels]


def numbered_labels(classes: int) -> tuple[Label, ...]:
    """Return stand-in labels for a network whose class names are not known."""
    return tuple(Label(f"class {index}") for index in range(classes))


def read_json(path: Path) -> Any:
    """Read a JSON file; `UnseeError` where it cannot be read or is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UnseeError(f"{path}: not JSON ({error})") from None
