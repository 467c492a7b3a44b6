"""What a user knows better of a network than it says itself: its input and its labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...errors import UnseeError
from ...fields import triple
from ...files import digest_of, sha256_of
from ...resizing import Sides
from .metadata import InputSpec, Label, read_labels, sides_of, written_sides

if TYPE_CHECKING:
    from .checkpoints import Classifier

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class InputChoice:
    """Replaces parts of a classifier's input and its labels; what is None stays its own.

    input_size: side of the square input; of a map network of other people's also height and width, see `sides_of`. mean,
    std: of pixels in 0..1, in the network's order of channels. labels: a labels.json, or a file with a name a line.
    """

    input_size: Annotated[
        int | Sides | None,
        "side of the network's input in pixels, or HEIGHTxWIDTH of an ONNX file's (default: its own)",
    ] = None
    mean: Annotated[Triple | None, "the input's mean, with commas, of pixels in 0..1 (default: its own)"] = None
    std: Annotated[Triple | None, "the input's deviation, likewise (default: its own)"] = None
    labels: Annotated[str | None, "names of the classes: labels.json, or a text file with one a line"] = None

    def __post_init__(self) -> None:
        if self.input_size is not None:
            height, width = sides_of(self.input_size, "input size")
            object.__setattr__(self, "input_size", height if height == width else (height, width))
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and not all(-1 <= value <= 1 for value in triple(values, name)):
                raise UnseeError(f"{name} is that of pixels in 0..1, got {values}: divide by 255")
        if self.labels is not None and not Path(self.labels).is_file():
            raise UnseeError(f"{self.labels}: no such file of labels")

    @property
    def is_empty(self) -> bool:
        """Whether everything stays the classifier's own."""
        return self == OWN_INPUT

    def digest(self) -> str:
        """Return a digest of what is replaced."""
        return digest_of([asdict(replace(self, labels=None)), sha256_of(Path(self.labels)) if self.labels else None])

    def applied(self, classifier: "Classifier") -> "Classifier":
        """Return a classifier with what is replaced; `UnseeError` where it does not take the size, or the labels' number."""
        from .logits import count_classes

        metadata = classifier.metadata
        spec = self.input_of(metadata.input)
        classes = count_classes(classifier.module, spec.size, metadata.network)
        if classes != metadata.classes:
            raise UnseeError(f"{metadata.network} has {classes} classes at {spec.size} pixels, not {metadata.classes}")
        labels = labels_of(Path(self.labels), classes) if self.labels else classifier.labels
        names_classes = metadata.names_classes or self.labels is not None
        return replace(classifier, metadata=replace(metadata, input=spec, names_classes=names_classes), labels=labels)

    def input_of(self, spec: InputSpec) -> InputSpec:
        """Return a classifier's input with what is replaced; `UnseeError` where that is not square."""
        if isinstance(self.input_size, tuple):
            sides = written_sides(self.input_size)
            raise UnseeError(f"a classifier's input is square, got {sides}: give one side with --input-size")
        scaled: dict[str, Any] = {
            name: tuple(value * spec.range for value in values)
            for name in ("mean", "std")
            if (values := getattr(self, name)) is not None
        }
        return replace(spec, size=self.input_size or spec.size, **scaled)


OWN_INPUT = InputChoice()
"""Nothing is replaced."""


def labels_of(path: Path, classes: int) -> tuple[Label, ...]:
    """Read the names of so many classes, from JSON or from the lines of a text file."""
    if path.suffix == ".json":
        return read_labels(path, classes)
    try:
        names = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UnseeError(f"{path}: cannot be read as text ({error})") from None
    return as_labels(names, classes, str(path))


def as_labels(names: Sequence[str | Label], classes: int, where: str = "labels") -> tuple[Label, ...]:
    """Return names as the labels of so many classes; `UnseeError` where they are more or fewer."""
    if len(names) != classes:
        raise UnseeError(f"{where}: {len(names)} labels, but the network has {classes} classes")
    return tuple(name if isinstance(name, Label) else Label(str(name)) for name in names)
