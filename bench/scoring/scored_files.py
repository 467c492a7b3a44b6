"""What becomes of one map and its mask: scores, doubts about how the two were read, or the reason why there are none."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from ...errors import DecodingError, DeviceUnavailableError, MissingExtraError, UnseeError
from ...kernels.device import load_cuda
from .greys import FLAT, Grey, is_flat, read_map, read_mask
from .metrics import DEFAULT_METRICS, PairScores, check_metrics, score_pair
from .pairs import FilePair
from .protocols import find_protocol
from .remarks import Remark, Tally
from .resize import ResizeRule, check_rule, check_upright, is_squashed, resize_to

SweepDevice = Literal["auto", "cpu", "cuda"]
SQUASHED = "of other proportions than their masks, to which they are squashed"

RESIZE_OF_PROTOCOL: dict[str, ResizeRule] = {"lps": "pillow"}  # the others leave it to PySODEvalToolkit: opencv


@dataclass(frozen=True)
class EvaluationConfig:
    """How maps are scored: checked on construction, saved with the results.

    resize: how a map comes to its mask's size; None takes the protocol's own rule. workers: threads; None takes one a
    core. device: where levels are counted, with the same result; "auto" becomes "cuda" where there is a CUDA device.

    Raises UnseeError for what there is not, DeviceUnavailableError where "cuda" cannot be used.
    """

    protocol: str = "pysod"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    resize: ResizeRule | None = None
    workers: int | None = None
    device: SweepDevice = "cpu"

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        object.__setattr__(self, "metrics", check_metrics(self.metrics))
        check_rule(self.resize_rule)
        if self.workers is not None and self.workers < 1:
            raise UnseeError(f"at least 1 worker is needed, got {self.workers}")
        object.__setattr__(self, "device", sweep_device(self.device))

    @property
    def resize_rule(self) -> ResizeRule:
        return self.resize or RESIZE_OF_PROTOCOL.get(self.protocol, "opencv")


def sweep_device(device: SweepDevice) -> SweepDevice:
    """Return "cpu" or "cuda", whichever "auto" means here; see `EvaluationConfig` for errors."""
    if device not in get_args(SweepDevice):
        raise UnseeError(f"unknown device {device!r}: choose one of {', '.join(get_args(SweepDevice))}")
    if device == "cpu":
        return device
    try:
        available = load_cuda().is_available()
    except MissingExtraError:
        if device == "cuda":
            raise
        available = False
    if device == "cuda" and not available:
        raise DeviceUnavailableError("cuda was asked for, but numba sees no CUDA device (unsee doctor says more)")
    return "cuda" if available else "cpu"


@dataclass(frozen=True)
class ScoredFile:
    """What became of one pair: scores and the doubts about them, or why there are none."""

    pair: FilePair
    status: str
    error_message: str | None = None
    height: int | None = None
    width: int | None = None
    scores: PairScores | None = None
    flat_mask: bool = False
    map_doubts: tuple[str, ...] = ()
    mask_doubts: tuple[str, ...] = ()


def score_file(pair: FilePair, config: EvaluationConfig) -> ScoredFile:
    """Read, resize and score one pair; an image that cannot be read or scored gives a status and a reason."""
    protocol = find_protocol(config.protocol)
    stage, subject = "failed_to_decode", "mask: "
    try:
        mask = read_mask(pair.mask, protocol.foreground_above)
        subject = "map: "
        saliency = read_map(pair.prediction)
        stage, subject = "failed_to_score", ""
        shape = (mask.pixels.shape[0], mask.pixels.shape[1])
        check_upright(saliency.pixels.shape, shape)
        resized = resize_to(saliency.pixels, shape, config.resize_rule)
        scores = score_pair(resized, mask.pixels, protocol, config.metrics, on_gpu=config.device == "cuda")
    except Exception as error:  # whatever a damaged file does becomes its row
        return ScoredFile(pair, stage, f"{subject}{_reason(error)}")
    flat_mask = is_flat(mask.pixels > protocol.foreground_above)
    return ScoredFile(pair, "success", None, *shape, scores, flat_mask, _map_doubts(saliency, shape), mask.doubts)


def _map_doubts(saliency: Grey, shape: tuple[int, int]) -> tuple[str, ...]:
    squashed = [SQUASHED] if is_squashed(saliency.pixels.shape, shape) else []
    return (*saliency.doubts, *squashed, *([FLAT] if is_flat(saliency.pixels) else []))


def _reason(error: Exception) -> str:
    """Return what went wrong, without the path, which stands in the row already."""
    if isinstance(error, DecodingError):
        return f"{error.code}: {error}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {text}"


@dataclass
class Doubts:
    """Counts what is doubtful about the maps and masks that were scored."""

    tally: Tally = field(default_factory=Tally)
    flat: Tally = field(default_factory=Tally)
    count: int = 0

    def add(self, file: ScoredFile) -> None:
        """Count one scored pair; one mask may well have no object, all of them not."""
        self.count += 1
        for doubt in file.mask_doubts:
            self.tally.add(f"masks {doubt}", file.pair.mask.name, doubtful=True)
        for doubt in file.map_doubts:
            self.tally.add(f"maps {doubt}", file.pair.prediction.name, doubtful=True)
        if file.flat_mask:
            self.flat.add(f"all masks {FLAT}", file.pair.mask.name, doubtful=True)

    def remarks(self) -> tuple[Remark, ...]:
        """Return what was counted."""
        flat = self.flat.remarks()
        return self.tally.remarks() + (flat if sum(remark.count for remark in flat) == self.count else ())
