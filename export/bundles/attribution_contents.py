"""What a bundle of a classifier's gradient, or of its class activation maps, holds."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from ...fields import text, whole
from ...train.networks.metadata import LABELS_FILE
from .bundle_files import PROBE_FILE
from .classifier_contents import ClassifierContents
from .graphs import Graph, TensorSpec

CamKind = Literal["grad-cam", "layer-cam"]
AttributionKind = Literal["gradient", CamKind]

ATTRIBUTION_FILE = "attribution.onnx"
IMAGE, COTANGENT, TARGET, LOGITS, GRADIENT, CAM = "image", "cotangent", "target", "logits", "gradient", "cam"
GRADIENT_INPUTS, GRADIENT_OUTPUTS = (IMAGE, COTANGENT), (LOGITS, GRADIENT)
CAM_INPUTS, CAM_OUTPUTS = (IMAGE, TARGET), (LOGITS, CAM)
LARGEST_MAP = 4096


@dataclass(frozen=True, kw_only=True)
class AttributionContents(ClassifierContents):
    """A classifier's input gradient times a cotangent of its logits, or the class activation maps of one of its layers.

    layer: whose activations make the map, empty for a gradient. map_size: height and width of the map, the input's for a
    gradient.
    """

    kind: AttributionKind
    layer: str = ""
    map_size: tuple[int, int]
    kinds: ClassVar[tuple[str, ...]] = get_args(AttributionKind)
    graph_file: ClassVar[str] = ATTRIBUTION_FILE
    files: ClassVar[tuple[str, ...]] = (ATTRIBUTION_FILE, LABELS_FILE, PROBE_FILE)

    @property
    def graph(self) -> Graph:
        """Inputs and outputs of the graph."""
        image = TensorSpec.of_images(IMAGE, 3, self.input.size, self.input.size)
        logits = TensorSpec.of_images(LOGITS, len(self.labels))
        if self.kind == "gradient":
            cotangent = TensorSpec.of_images(COTANGENT, len(self.labels))
            return Graph((image, cotangent), (logits, TensorSpec.of_images(GRADIENT, *image.shape[1:])))  # pyright: ignore
        target = TensorSpec.of_images(TARGET, type="int64")
        return Graph((image, target), (logits, TensorSpec.of_images(CAM, *self.map_size)))

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.network}, {self.kind}{f' of {self.layer}' if self.layer else ''}"

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads, with the number of the labels, which have a file of their own."""
        own = {"layer": self.layer, "map_size": list(self.map_size)}
        return {"kind": self.kind, **self.shared_json(), **own}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "AttributionContents":
        """Return what a description holds; the labels are numbers until `with_files`."""
        height, width = value["map_size"]
        return cls(
            kind=value["kind"],
            layer=text(value["layer"], "layer"),
            map_size=(whole(height, "map_size", 1, LARGEST_MAP), whole(width, "map_size", 1, LARGEST_MAP)),
            **cls.shared_fields(value),
        )
