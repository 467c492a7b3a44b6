"""What a run does: one checked record, built by the command line, saved with the results."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..errors import UnseeError
from ..train.pretrained import DEFAULT_NAME
from .presets import PRESETS, Preset
from .sharding import Sharding
from .sources import Sources

OutputFormat = Literal["files", "webdataset", "parquet", "npy", "dummy"]
OnError = Literal["record", "raise"]
Distributor = Literal["local", "ray"]
LARGEST_SHARD = 10_000


@dataclass(frozen=True)
class RunConfig:
    """A run of `unsee run`.

    sources: see `Sources`. output_folder: the run directory. model, weights: see `load_classifier`. device, backend: see
    `open_session`. batch_size: images descended on together, None for automatic. shards: see `Sharding`. exif,
    max_pixels, exact_decoding: see `DecodingConfig`. on_error: whether a failed image becomes a row or ends the run.
    max_error_rate: share of failed images above which the run ends with `ExitCode.FAILED_ROWS`. timeout: seconds in
    which an image must be read and decoded. workers: decoding and encoding threads of a process. distributor, processes:
    see `executors`. max_shard_retry: how often a shard is tried again after a crash.
    """

    sources: Sources
    output_folder: str
    model: str = DEFAULT_NAME
    weights: str | None = None
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
        if self.workers < 1 or self.processes < 1 or self.timeout <= 0 or self.max_shard_retry < 0:
            raise UnseeError("workers, processes and timeout must be above 0, max shard retry at least 0")
        if not 0 <= self.max_error_rate <= 1:
            raise UnseeError(f"max error rate must be 0 to 1, got {self.max_error_rate}")
        if self.output_format not in get_args(OutputFormat):
            raise UnseeError(f"output format must be one of {get_args(OutputFormat)}, got {self.output_format!r}")

    def identity(self, model_id: str, backend: str, device: str) -> dict[str, Any]:
        """Return, as JSON, everything that decides the bytes of the output: a resumed run must agree in all of it."""
        return {
            "model": model_id,
            "backend": backend,
            "device": device.split(":")[0],
            **asdict(self.preset),
            "batch_size": self.batch_size or "auto",
            "samples_per_shard": self.shards.samples,
            "output_names": self.shards.output_names,
            "output_format": self.output_format,
            "exif": self.exif,
            "max_pixels": self.max_pixels,
            "exact_decoding": self.exact_decoding,
        }
