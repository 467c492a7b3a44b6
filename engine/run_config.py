"""What a run does: one checked record, built by the command line, saved with the results."""

from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, get_args

from ..errors import UnseeError
from ..export.runtime.model_info import ModelInfo
from ..threads import cores
from .inputs.sources import Sources
from .methods.method_config import MethodConfig
from .outputs.layout import Sharding
from .outputs.output_formats import OutputFormat
from .outputs.rows import Retry
from .remote.opening import ReadingConfig
from .segmentation.object_columns import check_rows_with
from .segmentation.picture_config import PictureConfig
from .segmentation.segment_config import SegmentConfig
from .workers.metrics_file import check_metrics_file

OnError = Literal["record", "raise"]
Distributor = Literal["local", "ray"]
Decoder = Literal["cpu", "nvjpeg"]
LARGEST_SHARD = 10_000
MOST_WORKERS = 4
PRESET_METHODS = ("b", "a")
"""The methods that a preset's constants say anything of."""
ALGORITHM = 5
"""Raised whenever the same inputs and options give other bytes than before: a run is not resumed across it."""


def runs_image_by_image(backend: str, device: str) -> bool:
    """Tell whether the size of a batch decides nothing: on a CPU all runners but compiled PyTorch run single images."""
    return device.split(":")[0] == "cpu" and backend not in ("torch-compile", "aot")


@dataclass(frozen=True)
class RunConfig(MethodConfig):
    """A run of `unsee run` or `unsee promote`.

    sources: see `Sources`. output_folder: the run directory. segmentation: see `SegmentConfig`. pictures: see
    `PictureConfig`. shards: see `Sharding`. rows_with: see `object_columns`. exif, max_pixels, exact_decoding: see
    `DecodingConfig`. decoder: see `JpegBatches`. on_error: whether a failed image becomes a row or ends the run.
    max_error_rate: share of failed images above which the run ends with `ExitCode.FAILED_ROWS`. timeout: seconds in which an
    image must be read and decoded.
    max_bytes: see `ReadingConfig`. workers: decoding and encoding threads of a process. distributor, processes: see
    `executors`. metrics_file: see `kept_metrics`. max_shard_retry: how often a shard is tried again after a crash.
    """

    sources: Sources
    output_folder: Annotated[str, "run directory: maps, rows and stats; a path or a URL"]
    _: KW_ONLY
    segmentation: SegmentConfig = field(default_factory=SegmentConfig)
    pictures: PictureConfig = field(default_factory=PictureConfig)
    shards: Sharding = field(default_factory=Sharding)
    output_format: Annotated[OutputFormat, "dummy writes rows but no maps"] = "files"
    rows_with: Annotated[tuple[str, ...], "columns of COCO in the rows: rle, box, or both with commas"] = ()
    exif: Annotated[bool, "turn images as their EXIF orientation says"] = True
    max_pixels: Annotated[int, "larger images become failed rows"] = 100_000_000
    exact_decoding: Annotated[bool, "decode large JPEGs at full size"] = False
    decoder: Annotated[Decoder, "of JPEGs: the CPU, or nvJPEG on the network's GPU (torchvision)"] = "cpu"
    on_error: Annotated[OnError, "a failed image becomes a row, or ends the run"] = "record"
    max_error_rate: Annotated[float, "share of failed images that still ends with exit code 0"] = 0.0
    timeout: Annotated[float, "seconds in which an image must be read and decoded"] = 60.0
    max_bytes: Annotated[int, "larger image files become failed rows"] = 500_000_000
    workers: Annotated[int | None, "threads that decode, and that encode (default: by CPU)"] = None
    distributor: Annotated[Distributor, "this machine, or a Ray cluster"] = "local"
    processes: Annotated[
        int | Literal["auto"], "processes or Ray actors with a model each: a number, or auto (default: 1)"
    ] = 1
    metrics_file: Annotated[str | None, "file.prom that Prometheus' textfile collector reads, kept up to date"] = None
    max_shard_retry: Annotated[int, "how often a shard is tried again after a crash"] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources.inputs:
            raise UnseeError("no inputs: name files, folders, patterns, lists or archives")
        if not 1 <= self.shards.samples <= LARGEST_SHARD:
            raise UnseeError(f"samples per shard must be 1 to {LARGEST_SHARD}, got {self.shards.samples}")
        if (
            self.worker_count < 1
            or (self.processes != "auto" and self.processes < 1)
            or self.timeout <= 0
            or self.max_shard_retry < 0
        ):
            raise UnseeError("workers, processes and timeout must be above 0, max shard retry at least 0")
        if self.max_bytes < 1 or self.max_pixels < 1:
            raise UnseeError(f"max bytes and max pixels must be at least 1, got {self.max_bytes} and {self.max_pixels}")
        if not 0 <= self.max_error_rate <= 1:
            raise UnseeError(f"max error rate must be 0 to 1, got {self.max_error_rate}")
        if self.decoder not in get_args(Decoder):
            raise UnseeError(f"decoder must be one of {get_args(Decoder)}, got {self.decoder!r}")
        if self.output_format not in get_args(OutputFormat):
            raise UnseeError(f"output format must be one of {get_args(OutputFormat)}, got {self.output_format!r}")
        if self.output_format == "npy" and self.pictures.output_kind != "map":
            raise UnseeError("npy holds the raw maps: leave --output-kind out, or choose another --output-format")
        check_rows_with(self.rows_with)
        object.__setattr__(self, "rows_with", tuple(sorted(set(self.rows_with))))
        if self.metrics_file is not None:
            check_metrics_file(self.metrics_file)
        if self.prior and self.shards.output_names != "mirror":
            raise UnseeError("given maps are found by their images' paths: leave --output-names out")

    @property
    def reading(self) -> ReadingConfig:
        """The bounds within which images are read."""
        return replace(self.sources.reading, max_bytes=self.max_bytes, timeout=self.timeout)

    @property
    def worker_count(self) -> int:
        """Threads that decode, and that encode: by the cores of this machine where nothing was asked for."""
        return min(MOST_WORKERS, cores()) if self.workers is None else self.workers

    @property
    def keeps_raw(self) -> bool:
        """See `MethodConfig.keeps_raw`."""
        return self.output_format == "npy"

    def identity(self, info: ModelInfo) -> dict[str, Any]:
        """Return, as JSON, everything that decides the bytes of the output: a resumed run must agree in all of it.

        The size of a batch is part of it where it decides anything.
        """
        kind = info.device.split(":")[0]
        image_by_image = runs_image_by_image(info.backend, info.device)
        return {
            "algorithm": ALGORITHM,
            "model": info.model_id,
            "backend": info.backend,
            "device": kind,
            "method": self.method,
            **(asdict(self.preset) if self.method in PRESET_METHODS else {}),
            "segmentation": asdict(self.segmentation),
            "pictures": self.pictures.identity(),
            "batch_size": "any" if image_by_image else self.batch_size or "auto",
            "samples_per_shard": self.shards.samples,
            "output_names": self.shards.output_names,
            "output_format": self.output_format,
            "exif": self.exif,
            "max_pixels": self.max_pixels,
            "image_column": self.sources.image_column,
            "exact_decoding": self.exact_decoding,
            **({"labels": self.input.digest()} if self.input.labels else {}),
            **({"precision": info.precision} if info.precision != "fp32" else {}),
            **({"mirror": True} if self.mirror else {}),
            **({"rows_with": list(self.rows_with)} if self.rows_with else {}),
            **({"cleanup": info.cleanup} if info.cleanup != "cpu" else {}),
            **({"decoder": self.decoder} if self.decoder != "cpu" else {}),
        }


@dataclass(frozen=True)
class Resumption:
    """How a run takes up what an earlier one left in its folder.

    overwrite: forget it. extend: add inputs that are new. retry: also try failed images of finished shards again, as they
    are now. repair: check what is there and make again what is missing or damaged.
    """

    overwrite: Annotated[bool, "start anew in a folder that holds another run"] = False
    extend: Annotated[bool, "add inputs that are new since the run was planned"] = False
    retry: Annotated[Retry | None, "try failed images of finished shards again: error codes with commas, or all"] = None
    repair: Annotated[bool, "make maps again that are missing or damaged"] = False

    def __post_init__(self) -> None:
        others = {"--extend": self.extend, "--retry-errors": self.retry is not None, "--repair": self.repair}
        given = [name for name, is_given in others.items() if is_given]
        if self.overwrite and given:
            raise UnseeError(f"--overwrite starts anew, where nothing is left for {' and '.join(given)}: leave one out")
