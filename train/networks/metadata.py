"""What a checkpoint or a bundle says of its network: input specification, classes and origin. No torch needed."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import UnseeError
from ...fields import check_fields, flag, mapping, number, text, triple, whole
from ...resizing import Sides

MODEL_FILE = "model.json"
BUNDLE_FILE = "bundle.json"
LABELS_FILE = "labels.json"
WEIGHTS_FILE = "weights.safetensors"
CHECKPOINT_FILES = (MODEL_FILE, WEIGHTS_FILE, LABELS_FILE)
LARGEST_INPUT = 4096
MOST_CLASSES = 1_000_000
LARGEST_DESCRIPTION = 1 << 26
"""Bytes of a JSON file that describes a model; one of a million labels has less."""
_WRITTEN_SIDES = re.compile(r"(\d{1,9})(?:x(\d{1,9}))?")


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
        check_fields(self, {"size": (1, LARGEST_INPUT)})
        triple(self.mean, "mean")
        if min(triple(self.std, "std")) <= 0 or self.range <= 0:
            raise UnseeError(f"std and range must be above zero, got {self.std} and {self.range}")

    @property
    def sides(self) -> Sides:
        """Height and width of what the network sees."""
        return self.size, self.size

    def to_json(self) -> dict[str, Any]:
        """Return the object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "InputSpec":
        """Build the specification from model.json's or bundle.json's `input` object."""
        value = mapping(value, "input")
        return cls(
            size=whole(value["size"], "size"),
            channel_order=value["channel_order"],
            range=number(value["range"], "range"),
            mean=triple(value["mean"], "mean"),
            std=triple(value["std"], "std"),
        )


def sides_of(value: object, name: str) -> Sides:
    """Return height and width of an input: a side is both, two are in a list, and a text has them as in `288x384`.

    Raises `UnseeError` on anything else, and on sides that are not 1 to `LARGEST_INPUT`.
    """
    if isinstance(value, str):
        written = _WRITTEN_SIDES.fullmatch(value)
        if not written:
            raise UnseeError(f"{name} must be a whole number, or height and width as in 288x384, got {value[:60]!r}")
        value = [int(side) for side in written.groups() if side]
    sides = value if isinstance(value, (list, tuple)) and len(value) in (1, 2) else [value]
    return whole(sides[0], name, 1, LARGEST_INPUT), whole(sides[-1], name, 1, LARGEST_INPUT)


def written_sides(sides: Sequence[int | None]) -> str:
    """Return height and width as people read them; a side that is free is a question mark."""
    return " x ".join("?" if side is None else str(side) for side in sides)


@dataclass(frozen=True)
class Label:
    """One class of a classifier."""

    name: str
    wnid: str | None = None


@dataclass(frozen=True)
class Metadata:
    """model.json: network (a name in `networks.NETWORKS`), input, number of classes and origin of the weights.

    names_classes: whether the class it finds may be told to a user; a network made for its gradient alone finds wrong ones.
    """

    network: str
    input: InputSpec
    classes: int
    provenance: dict[str, Any] = field(default_factory=dict)
    names_classes: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Metadata":
        """Build the metadata from model.json; keys that are not ours are kept under `provenance`."""
        known = {"network", "input", "classes", "provenance", "names_classes"}
        other = {key: item for key, item in value.items() if key not in known and isinstance(item, str)}
        return cls(
            network=text(value["network"], "network"),
            input=InputSpec.from_json(value["input"]),
            classes=whole(value["classes"], "classes", 1, MOST_CLASSES),
            provenance={**other, **mapping(value.get("provenance", {}), "provenance")},
            names_classes=flag(value.get("names_classes", True), "names_classes"),
        )


def read_metadata(path: Path) -> Metadata:
    """Read model.json; a missing or malformed file is one clear error."""
    value = read_object(path, "a model description")
    with understood(path, "a model description"):
        return Metadata.from_json(value)


def read_labels(path: Path, classes: int) -> tuple[Label, ...]:
    """Read labels.json, a list of names or of {wnid, name}; its length must be `classes`."""
    value = read_json(path)
    if not isinstance(value, list):
        raise UnseeError(f"{path}: expected a list of labels, got {type(value).__name__}")
    if len(value) != classes:
        raise UnseeError(f"{path}: {len(value)} labels, but the network has {classes} classes")
    with understood(path, "a list of labels"):
        return tuple(_label(item, f"label {place}") for place, item in enumerate(value))


def _label(item: object, place: str) -> Label:
    if isinstance(item, str):
        return Label(item)
    value = mapping(item, place)
    wnid = value.get("wnid")
    return Label(text(value["name"], f"name of {place}"), None if wnid is None else text(wnid, f"wnid of {place}"))


def labels_to_json(labels: tuple[Label, ...]) -> list[dict[str, str | None]]:
    """Return the list that `read_labels` reads."""
    return [{"wnid": label.wnid, "name": label.name} for label in labels]


def numbered_labels(classes: int) -> tuple[Label, ...]:
    """Return stand-in labels for a network whose class names are not known."""
    return tuple(Label(f"class {index}") for index in range(classes))


def read_json(path: Path) -> Any:
    """Read a JSON file; `UnseeError` where it cannot be read or is none, or nested or large beyond reason."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_DESCRIPTION + 1)
        if len(data) > LARGEST_DESCRIPTION:
            raise ValueError(f"more than {LARGEST_DESCRIPTION} bytes")
        return json.loads(data.decode(), parse_constant=_refused)
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise UnseeError(f"{path}: not JSON (nested too deeply)") from None
    except ValueError as error:
        raise UnseeError(f"{path}: not JSON ({error})") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file that holds an object; what: the object is, for the error."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise UnseeError(f"{path}: not {what}, but a JSON {type(value).__name__}")
    return value


@contextmanager
def understood(path: Path, what: str) -> Iterator[None]:
    """Turn what a block cannot make of a file's values into one `UnseeError` that names the file."""
    try:
        yield
    except UnseeError as error:
        raise UnseeError(f"{path}: {error}") from None
    except KeyError as error:
        raise UnseeError(f"{path}: not {what} (it lacks {error})") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnseeError(f"{path}: not {what} ({type(error).__name__}: {error})") from None


def holds_file(directory: str | Path, name: str) -> bool:
    """Say whether a path is a directory with that file in it; what cannot be a path is none."""
    try:
        return (Path(directory) / name).is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        return False
