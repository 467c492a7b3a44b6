"""What a run does: one checked record, built by the command line, saved with the results."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UnseeError
from ..export.devices import check_backend, check_device
from ..train.pretrained import DEFAULT_NAME
from .opening import ReadingConfig, is_url
from .presets import PRESETS, Preset
from .sharding import Sharding
from .sources import Sources

OutputFormat = Literal["files", "webdataset", "parquet", "npy", "dummy"]
MethodName = Literal["b", "a", "gradient", "rc", "rbd", "saliency-filters", "attentional", "given"]
Segment = Literal["none", "jaccard", "saliencycut"]
Refine = Literal["none", "ultrametric", "random-walker"]
CLASSIFIER_METHODS = ("b", "a", "gradient")
MODEL_METHODS = (*CLASSIFIER_METHODS, "attentional")
"""The methods that run a network; the others run on the CPU."""
OnError = Literal["record", "raise"]
Distributor = Literal["local", "ray"]
Retry = frozenset[str] | Literal["all"]
"""Error codes of failed images that are tried again."""
LARGEST_SHARD = 10_000
ALGORITHM = 2
"""Raised whenever the same inputs and options give other bytes than before: a run is not resumed across it."""


def runs_image_by_image(backend: str, device: str) -> bool:
    """Tell whether the size of a batch decides nothing: on a CPU all sessions but compiled PyTorch run single images."""
    return device.split(":")[0] == "cpu" and backend != "torch-compile"


@dataclass(frozen=True)
class SegmentConfig:
    """How maps are refined and masks are made.

    segment: jaccard takes the proposal that fits the refined map best, saliencycut cuts by GrabCut. refine: replaces the
    finished map by the mean of `runs` segmentations from `points` random seeds each; `jaccard` refines in any case, by
    default ultrametrically. threshold: of the refined map. dark_share: quantile that background seeds come from.
    proposals: folder of proposals, our own where None; most_proposals of them are tried. seed: of the random seeds.
    """

    segment: Segment = "none"
    refine: Refine = "none"
    runs: int = 100
    points: int = 50
    dark_share: float = 0.3
    threshold: float = 0.5
    proposals: str | None = None
    most_proposals: int = 50
    segments: int = 100
    compactness: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.segment not in get_args(Segment) or self.refine not in get_args(Refine):
            raise UnseeError(f"segment must be one of {get_args(Segment)}, refine one of {get_args(Refine)}")
        if min(self.runs, self.points, self.most_proposals, self.segments) < 1 or not 0 < self.dark_share < 1:
            raise UnseeError("runs, points, proposals and segments must be at least 1, dark_share between 0 and 1")
        if self.proposals is not None and not Path(self.proposals).is_dir():
            raise UnseeError(f"{self.proposals}: no such folder of proposals")
        if self.seed < 0:
            raise UnseeError(f"seed must be at least 0, got {self.seed}")


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


@dataclass(frozen=True)
class RunConfig:
    """A run of `unsee run` or `unsee promote`.

    sources: see `Sources`. output_folder: the run directory. method: see `methods`. model, weights: see
    `load_classifier`; method a takes it for CNN1, and makes its maps with cnn2 and cnn3 where they are given; method
    attentional takes such a network. promotion: what promotes the finished maps, None for nothing. segmentation: see
    `SegmentConfig`. device, backend: see `open_session`. batch_size: images descended on together, None for automatic.
    shards: see `Sharding`. exif, max_pixels, exact_decoding: see `DecodingConfig`. on_error: whether a failed image
    becomes a row or ends the run. max_error_rate: share of failed images above which the run ends with
    `ExitCode.FAILED_ROWS`. timeout: seconds in which an image must be read and decoded. max_bytes: see `ReadingConfig`.
    workers: decoding and encoding threads of a process. distributor, processes: see `executors`. max_shard_retry: how
    often a shard is tried again after a crash.
    """

    sources: Sources
    output_folder: str
    model: str = DEFAULT_NAME
    weights: str | None = None
    method: MethodName = "b"
    cnn2: str | None = None
    cnn3: str | None = None
    promotion: PromotionConfig | None = None
    segmentation: SegmentConfig = field(default_factory=SegmentConfig)
    preset: Preset = PRESETS["reference"]
    device: str = "auto"
    backend: str = "auto"
    batch_size: int | None = None
    shards: Sharding = field(default_factory=Sharding)
    output_format: OutputFormat = "files"
    exif: bool = True
    max_pixels: int = 100_000_000
    exact_decoding: bool = False
    on_error: OnError = "record"
    max_error_rate: float = 0.0
    timeout: float = 60.0
    max_bytes: int = 500_000_000
    workers: int = 2
    distributor: Distributor = "local"
    processes: int = 1
    max_shard_retry: int = 1

    def __post_init__(self) -> None:
        if not self.sources.inputs:
            raise UnseeError("no inputs: name files, folders, patterns, lists or archives")
        if not 1 <= self.shards.samples <= LARGEST_SHARD:
            raise UnseeError(f"samples per shard must be 1 to {LARGEST_SHARD}, got {self.shards.samples}")
        if self.batch_size is not None and self.batch_size < 1:
            raise UnseeError(f"batch size must be at least 1, got {self.batch_size}")
        if self.method not in get_args(MethodName):
            raise UnseeError(f"method must be one of {get_args(MethodName)}, got {self.method!r}")
        if self.method != "a" and (self.cnn2 or self.cnn3):
            raise UnseeError("cnn2 and cnn3 belong to method a: add --method a")
        check_device(self.device)
        check_backend(self.backend)
        self._check_models()
        if is_url(self.output_folder):
            raise UnseeError(
                f"{self.output_folder}: results are written to local folders only; copy them there after the run"
            )
        if not self.runs_model and (self.device.startswith("cuda") or self.backend != "auto"):
            raise UnseeError(f"method {self.method} runs no model, on the CPU: leave --device and --backend out")
        if self.workers < 1 or self.processes < 1 or self.timeout <= 0 or self.max_shard_retry < 0:
            raise UnseeError("workers, processes and timeout must be above 0, max shard retry at least 0")
        if self.max_bytes < 1:
            raise UnseeError(f"max bytes must be at least 1, got {self.max_bytes}")
        if not 0 <= self.max_error_rate <= 1:
            raise UnseeError(f"max error rate must be 0 to 1, got {self.max_error_rate}")
        if self.output_format not in get_args(OutputFormat):
            raise UnseeError(f"output format must be one of {get_args(OutputFormat)}, got {self.output_format!r}")

    def _check_models(self) -> None:
        if self.weights and self.method not in CLASSIFIER_METHODS:
            raise UnseeError(f"weights are a classifier's, and method {self.method} has none: leave --weights out")
        if (self.method == "given") != bool(self.prior):
            raise UnseeError("method given, and no other, promotes the maps of a folder: use unsee promote")
        if self.prior and self.shards.output_names != "mirror":
            raise UnseeError("given maps are found by their images' paths: leave --output-names out")

    @property
    def prior(self) -> str | None:
        """The folder of the maps of method `given`."""
        return self.promotion.prior if self.promotion else None

    @property
    def reading(self) -> ReadingConfig:
        """The bounds within which images are read."""
        return replace(self.sources.reading, max_bytes=self.max_bytes, timeout=self.timeout)

    @property
    def runs_model(self) -> bool:
        """Whether a network runs, on the device that was asked for."""
        return self.method in MODEL_METHODS or self.promotion is not None

    def identity(self, model_id: str, backend: str, device: str) -> dict[str, Any]:
        """Return, as JSON, everything that decides the bytes of the output: a resumed run must agree in all of it.

        The size of a batch is part of it where it decides anything.
        """
        kind = device.split(":")[0]
        image_by_image = runs_image_by_image(backend, device)
        return {
            "algorithm": ALGORITHM,
            "model": model_id,
            "backend": backend,
            "device": kind,
            "method": self.method,
            **asdict(self.preset),
            "segmentation": asdict(self.segmentation),
            "batch_size": "any" if image_by_image else self.batch_size or "auto",
            "samples_per_shard": self.shards.samples,
            "output_names": self.shards.output_names,
            "output_format": self.output_format,
            "exif": self.exif,
            "max_pixels": self.max_pixels,
            "image_column": self.sources.image_column,
            "exact_decoding": self.exact_decoding,
        }


@dataclass(frozen=True)
class Resumption:
    """How a run takes up what an earlier one left in its folder.

    overwrite: forget it. extend: add inputs that are new. retry: also try failed images of finished shards again, as they
    are now. repair: check what is there and make again what is missing or damaged.
    """

    overwrite: bool = False
    extend: bool = False
    retry: Retry | None = None
    repair: bool = False

    def __post_init__(self) -> None:
        others = {"--extend": self.extend, "--retry-errors": self.retry is not None, "--repair": self.repair}
        given = [name for name, is_given in others.items() if is_given]
        if self.overwrite and given:
            raise UnseeError(f"--overwrite starts anew, where nothing is left for {' and '.join(given)}: leave one out")
