"""Object saliency in bulk: an image is edited until a classifier no longer sees the object, and the edit is the map."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.bulk import run
    from .engine.detector import Detector, FailedItemError
    from .engine.inputs.sources import Sources
    from .engine.networks.gradients import gradient
    from .engine.networks.model_exports import export_module as export
    from .engine.networks.wrapping import wrap
    from .engine.run_config import RunConfig
    from .engine.saliency import Saliency
    from .engine.segmentation.picture_config import PictureConfig
    from .engine.segmentation.segment_config import SegmentConfig
    from .errors import UnseeError
    from .train.networks.input_choice import InputChoice
    from .train.networks.maps.network_input import NetworkChoice
    from .train.networks.metadata import InputSpec
    from .train.networks.model_names import load_classifier
else:
    from . import export

__version__ = "0.1.0"
__all__ = [
    "Detector",
    "FailedItemError",
    "InputChoice",
    "InputSpec",
    "NetworkChoice",
    "PictureConfig",
    "RunConfig",
    "Saliency",
    "SegmentConfig",
    "Sources",
    "UnseeError",
    "export",
    "gradient",
    "load_classifier",
    "run",
    "saliency",
    "wrap",
]

_HOMES = {
    "Detector": ".engine.detector",
    "FailedItemError": ".engine.detector",
    "InputChoice": ".train.networks.input_choice",
    "InputSpec": ".train.networks.metadata",
    "NetworkChoice": ".train.networks.maps.network_input",
    "PictureConfig": ".engine.segmentation.picture_config",
    "Saliency": ".engine.saliency",
    "UnseeError": ".errors",
    "RunConfig": ".engine.run_config",
    "SegmentConfig": ".engine.segmentation.segment_config",
    "Sources": ".engine.inputs.sources",
    "gradient": ".engine.networks.gradients",
    "load_classifier": ".train.networks.model_names",
    "run": ".engine.bulk",
    "wrap": ".engine.networks.wrapping",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import unsee` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unsee' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


class _CallablePackage(ModuleType):
    """The package `unsee.export`, which is also the function of that name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Write a bundle of a classifier; see `unsee.engine.networks.model_exports.export_module`."""
        from .engine.networks.model_exports import export_module

        return export_module(*args, **options)


if not TYPE_CHECKING:
    export.__class__ = _CallablePackage


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def saliency(image: Any, model: str = "unsee-small", preset: str | None = None, device: str = "auto") -> "Saliency":
    """Return the saliency of one image; for more than one build a `Detector`, which loads the model once."""
    from .engine.detector import Detector

    return Detector(model, preset, device)(image)
