"""Which method makes the maps, with which models, where: what the command line and a `Detector` choose alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from ...errors import UnseeError
from ...export.runtime.backends import check_backend, check_device
from ...export.runtime.precision import PRECISION_HELP, RunPrecision, check_precision
from ...export.wrapping.network_files import is_network_file
from ...train.networks.input_choice import OWN_INPUT, InputChoice
from ...train.networks.maps.network_input import NO_CHOICE, NetworkChoice
from ...train.networks.model_names import DEFAULT_NAME
from ..cleanup.presets import DEFAULT_PRESET, PRESETS, Cleanup, Preset

MODEL_HELP = (
    "checkpoint or bundle directory, unsee-small, efficientnet-lite0, student, unsee-student, vgg16, "
    "squeezenet1_1, resnet18, torchvision:NAME, timm:NAME, hf:DIRECTORY, package.module:factory, FILE.onnx of a map network"
)
MethodName = Literal[
    "b", "a", "gradient", "rc", "rbd", "saliency-filters", "attentional", "student", "network", "given"
]
CLASSIFIER_METHODS = ("b", "a", "gradient")
MAP_METHODS = ("attentional", "student", "network")
"""The methods that run a map network of that kind."""
MODEL_METHODS = (*CLASSIFIER_METHODS, *MAP_METHODS)
"""The methods that run a network; the others run on the CPU."""


@dataclass(frozen=True)
class PromotionConfig:
    """Which promoter replaces finished maps by promoted ones (paper C).

    model: checkpoint or bundle of a promoter. iterations: its passes T, its own number where None. prior: folder of the
    maps of method `given`, each called as its image is, with the sub-folder and without the suffix.
    """

    model: str
    iterations: int | None = None
    prior: str | None = None

    def __post_init__(self) -> None:
        if self.iterations is not None and self.iterations < 1:
            raise UnseeError(f"a promoter's iterations must be at least 1, got {self.iterations}")
        if self.prior is not None and not Path(self.prior).is_dir():
            raise UnseeError(f"{self.prior}: no such folder of maps")


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """A method and its models.

    model, weights, input: see `load_classifier`; method a takes it for CNN1, and makes its maps with cnn2 and cnn3 where
    they are given; methods attentional and student take such a network, method network anybody's, of which `network` says
    what it takes and gives. promotion: what promotes the finished maps, None for
    nothing.
    device, backend, precision: see `open_descender`. cleanup: see `cleans_up_on_device`. mirror: see `MirroredMethod`.
    batch_size: images descended on together, None for automatic.
    """

    model: Annotated[str, MODEL_HELP] = DEFAULT_NAME
    weights: Annotated[str | None, "weight file of the network that --model names"] = None
    method: Annotated[MethodName, "b and a are the papers'; the others are what they compare"] = "b"
    cnn2: Annotated[str | None, "method a: classifier of masked images"] = None
    cnn3: Annotated[str | None, "method a: classifier of both, with 2N classes"] = None
    input: InputChoice = OWN_INPUT
    network: NetworkChoice = NO_CHOICE
    promotion: PromotionConfig | None = None
    preset: Preset = PRESETS[DEFAULT_PRESET]
    device: Annotated[str, "auto, cpu, cuda or cuda:N"] = "auto"
    backend: Annotated[str, "auto or the name of a runtime (unsee doctor)"] = "auto"
    precision: Annotated[RunPrecision, PRECISION_HELP] = "auto"
    cleanup: Annotated[Cleanup, "method b on a GPU: finish maps on it (auto), or on the CPU"] = "auto"
    mirror: Annotated[bool, "average every map with that of the mirror image: twice the work"] = False
    batch_size: Annotated[int | None, "images descended on together (default: automatic)"] = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise UnseeError(f"batch size must be at least 1, got {self.batch_size}")
        if self.method not in get_args(MethodName):
            raise UnseeError(f"method must be one of {get_args(MethodName)}, got {self.method!r}")
        if self.method != "a" and (self.cnn2 or self.cnn3):
            raise UnseeError("cnn2 and cnn3 belong to method a: add --method a")
        check_device(self.device)
        check_backend(self.backend)
        check_precision(self.precision)
        if self.weights and self.method not in CLASSIFIER_METHODS:
            raise UnseeError(f"weights are a classifier's, and method {self.method} has none: leave --weights out")
        if self.mirror and self.method == "given":
            raise UnseeError("given maps have no mirror images: leave --mirror out")
        if self.cleanup == "device" and self.method != "b":
            raise UnseeError(f"method {self.method} cleans up on the CPU: leave --cleanup out")
        if not self.input.is_empty and self.method not in (*CLASSIFIER_METHODS, "network"):
            raise UnseeError(f"input size, mean, std and labels are a classifier's, and method {self.method} has none")
        is_file = is_network_file(self.model)
        if is_file and self.method not in ("b", "network", "given"):
            raise UnseeError(
                f"{self.model} is an ONNX file, which method {self.method} does not run: use --method network"
            )
        if not self.network.is_empty and self.method != "network" and not is_file:
            raise UnseeError(
                f"{self.network.first()} is for an ONNX file or a module of one's own, and {self.model} is neither"
            )
        if (self.method == "given") != bool(self.prior):
            raise UnseeError("method given, and no other, promotes the maps of a folder: use unsee promote")
        chosen = self.device.startswith("cuda") or self.backend != "auto" or self.precision != "auto"
        if chosen and not self.runs_model:
            raise UnseeError(
                f"method {self.method} runs no model, on the CPU: leave --device, --backend and --precision out"
            )

    @property
    def prior(self) -> str | None:
        """The folder of the maps of method `given`."""
        return self.promotion.prior if self.promotion else None

    @property
    def keeps_raw(self) -> bool:
        """Whether the maps before any clean-up are wanted, too."""
        return True

    @property
    def runs_model(self) -> bool:
        """Whether a network runs, on the device that was asked for."""
        return self.method in MODEL_METHODS or self.promotion is not None
