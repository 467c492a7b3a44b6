"""What a run does: one checked record, built by the command line, saved with the results."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import UnseeError
from ..train.pretrained import DEFAULT_NAME
from .presets import PRESETS, Preset

OutputFormat = Literal["files", "dummy"]
LARGEST_SHARD = 10_000


@dataclass(frozen=True)
class RunConfig:
    """A run of `unsee run`.

    inputs: files, folders, patterns and lists (see `sources`). output_folder: the run directory. model: see
    `open_session`. samples_per_shard: inputs that are finished, and resumed, together. exif, max_pixels: see `decoding`.
    max_error_rate: share of failed images above which the run ends with `ExitCode.FAILED_ROWS`. workers: decoding and
    encoding threads.
    """

    inputs: tuple[str, ...]
    output_folder: str
    model: str = DEFAULT_NAME
    weights: str | None = None
    preset: Preset = PRESETS["reference"]
    device: str = "auto"
    backend: str = "auto"
    batch_size: int = 16
    samples_per_shard: int = 1000
    output_format: OutputFormat = "files"
    exif: bool = True
    max_pixels: int = 100_000_000
    max_error_rate: float = 0.0
    workers: int = 2

    def __post_init__(self) -> None:
        if not self.inputs:
            raise UnseeError("no inputs: name files, folders, patterns or text lists")
        if not 1 <= self.samples_per_shard <= LARGEST_SHARD:
            raise UnseeError(f"samples per shard must be 1 to {LARGEST_SHARD}, got {self.samples_per_shard}")
        if self.batch_size < 1 or self.workers < 1:
            raise UnseeError(f"batch size and workers must be at least 1, got {self.batch_size} and {self.workers}")
        if not 0 <= self.max_error_rate <= 1:
            raise UnseeError(f"max error rate must be 0 to 1, got {self.max_error_rate}")
        if self.output_format not in ("files", "dummy"):
            raise UnseeError(f"output format must be files or dummy, got {self.output_format!r}")

    def identity(self, model_id: str, backend: str, device: str) -> dict[str, Any]:
        """Return, as JSON, everything that decides the bytes of the output: a resumed run must agree in all of it."""
        return {
            "model": model_id,
            "backend": backend,
            "device": device.split(":")[0],
            **asdict(self.preset),
            "batch_size": self.batch_size,
            "samples_per_shard": self.samples_per_shard,
            "output_format": self.output_format,
            "exif": self.exif,
            "max_pixels": self.max_pixels,
        }
