"""Image classifiers that transformers saved to a directory; nothing is fetched, and no code of the directory runs."""

from pathlib import Path
from typing import Any

from ....errors import UnseeError, first_line
from ....extras import require
from ....fields import number, triple, whole
from ..checkpoints import Classifier
from ..metadata import InputSpec, Label, read_object, understood
from .loaded import classifier_of, square

PREPROCESSOR = "preprocessor_config.json"


def load(directory: str, weights: Path | None = None) -> Classifier:
    """Load the classifier of a directory; its input is what preprocessor_config.json says."""
    folder, full = Path(directory), f"hf:{directory}"
    if weights:
        raise UnseeError(f"{full}: the directory holds its weights: leave --weights out")
    if not (folder / "config.json").is_file():
        raise UnseeError(f"{directory}: no directory of a Hugging Face model (no config.json in it)")
    transformers = require("transformers", "hf", "a classifier of Hugging Face")
    transformers.utils.logging.disable_progress_bar()
    spec = read_input(folder / PREPROCESSOR)
    try:
        module = transformers.AutoModelForImageClassification.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise UnseeError(
            f"{directory}: not an image classifier that transformers loads ({first_line(error)})"
        ) from None
    names = module.config.id2label
    labels = [Label(str(names[index])) for index in sorted(names)]
    return classifier_of(module, full, spec, labels, origin=folder.name)


def read_input(path: Path) -> InputSpec:
    """Return the input that a preprocessor_config.json describes; what it leaves out is transformers' own default."""
    value = read_object(path, "a preprocessor's description")
    with understood(path, "a preprocessor's description"):
        crops = value.get("do_center_crop", "crop_size" in value)
        side = value.get("crop_size") if crops and value.get("crop_size") else value.get("size", 224)
        scale = number(value.get("rescale_factor", 1 / 255), "rescale_factor") if value.get("do_rescale", True) else 1.0
        normalizes = value.get("do_normalize", True)
        return InputSpec(
            size=_side(side),
            channel_order="BGR" if value.get("do_flip_channel_order", False) else "RGB",
            range=255 * scale,
            mean=triple(value.get("image_mean", [0.5] * 3), "image_mean") if normalizes else (0.0, 0.0, 0.0),
            std=triple(value.get("image_std", [0.5] * 3), "image_std") if normalizes else (1.0, 1.0, 1.0),
        )


def _side(size: Any) -> int:
    if isinstance(size, dict):
        edge = size.get("shortest_edge", size.get("height"))
        size = square("the model", edge, size.get("width", edge)) if edge is not None else None
    return whole(size, "size")
