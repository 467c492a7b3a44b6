"""What every bundle of a classifier holds, whatever its graph computes."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from ...fields import flag, text, whole
from ...train.networks.metadata import LABELS_FILE, MOST_CLASSES, InputSpec, Label, numbered_labels, read_labels


@dataclass(frozen=True, kw_only=True)
class ClassifierContents:
    """A classifier's name, input and labels. names_classes: see `Metadata`."""

    network: str
    input: InputSpec
    labels: tuple[Label, ...]
    names_classes: bool = True

    def shared_json(self) -> dict[str, Any]:
        """Return what `shared_fields` reads."""
        return {
            "network": self.network,
            "input": asdict(self.input),
            "classes": len(self.labels),
            "names_classes": self.names_classes,
        }

    @staticmethod
    def shared_fields(value: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of this class in a description; the labels are numbers until `with_files`."""
        return {
            "network": text(value["network"], "network"),
            "input": InputSpec.from_json(value["input"]),
            "labels": numbered_labels(whole(value["classes"], "classes", 1, MOST_CLASSES)),
            "names_classes": flag(value.get("names_classes", True), "names_classes"),
        }

    def with_files(self, directory: Path) -> Self:
        """Return the same with what stands in files of its own: the labels."""
        return replace(self, labels=read_labels(directory / LABELS_FILE, len(self.labels)))
