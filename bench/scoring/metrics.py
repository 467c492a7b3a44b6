"""Scores of saliency maps against masks, as sums that can be merged (spec 0.5; conventions of PySODMetrics).

`MetricSums.update` takes one 8-bit map and its mask; `merge` adds another machine's sums; `result` divides. Memory does
not grow with the number of images. Every number comes from integer counts per level (kernels/sweep.py), but for the
weighted F-measure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np

from ...errors import UnseeError
from ...kernels.device import to_device, to_host
from ...kernels.sweep import joint_histogram, quadrant_histograms, threshold_counts
from ...kernels.weighted import weighted_errors
from .protocols import Protocol, f_measure, find_protocol

EPSILON = float(np.spacing(1))
ABOVE_HALF = float(np.nextafter(0.5, 1))
_ONE_ON_THE_GPU = Lock()


@dataclass(frozen=True)
class Counts:
    """True and false positives at some thresholds, of so many foreground and background pixels."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    foreground: int
    background: int

    @property
    def predicted(self) -> np.ndarray:
        return self.true_positives + self.false_positives


class Pair:
    """One map and its mask, both uint8 [H, W], under a protocol; everything that metrics need, counted once.

    on_gpu: count levels on the CUDA device.
    """

    def __init__(self, prediction: np.ndarray, mask: np.ndarray, protocol: Protocol, on_gpu: bool = False) -> None:
        self.protocol = protocol
        self.maps, self.masks = prediction[None], mask[None]
        counted = _counted_on_gpu if on_gpu else joint_histogram
        self.histogram = counted(self.maps, self.masks, protocol.foreground_above)[0]
        self.background, self.foreground = self.histogram.sum(axis=1).tolist()
        self.pixels = self.background + self.foreground
        self.levels = self.histogram.sum(axis=0)
        present = self.levels.nonzero()[0]
        extent = (int(present[0]), int(present[-1])) if len(present) else (0, 0)
        self.values = protocol.values(*extent)
        self.keys = protocol.keys(*extent)

    @cached_property
    def sweep(self) -> Counts:
        """Counts at the protocol's thresholds."""
        return self._counts(self.keys, self.protocol.thresholds)

    @cached_property
    def chosen(self) -> tuple[Counts, Counts]:
        """Counts at twice the mean of the map (at most 1), and above one half."""
        mean = float(self.levels @ self.values) / max(self.pixels, 1)
        return (
            self._counts(self.values, np.array([min(2 * mean, 1)])),
            self._counts(self.values, np.array([ABOVE_HALF])),
        )

    def _counts(self, keys: np.ndarray, thresholds: np.ndarray) -> Counts:
        return Counts(*threshold_counts(self.histogram, keys, thresholds), self.foreground, self.background)


def _counted_on_gpu(maps: np.ndarray, masks: np.ndarray, foreground_above: int) -> np.ndarray:
    """`joint_histogram` by way of the CUDA device, one pair at a time."""
    with _ONE_ON_THE_GPU:
        maps, masks = np.ascontiguousarray(maps), np.ascontiguousarray(masks)
        return to_host(joint_histogram(to_device(maps), to_device(masks), foreground_above))


def _precision(counts: Counts, protocol: Protocol) -> np.ndarray:
    return protocol.ratio(counts.true_positives, counts.predicted)


def _recall(counts: Counts, protocol: Protocol) -> np.ndarray:
    return protocol.ratio(counts.true_positives, np.array(counts.foreground))


def _f_measure(counts: Counts, protocol: Protocol) -> np.ndarray:
    return f_measure(_precision(counts, protocol), _recall(counts, protocol), protocol.beta_squared)


def _iou(counts: Counts, protocol: Protocol) -> np.ndarray:  # noqa: ARG001
    return counts.true_positives / np.maximum(counts.foreground + counts.false_positives, 1)


def _dice(counts: Counts, protocol: Protocol) -> np.ndarray:  # noqa: ARG001
    return 2 * counts.true_positives / np.maximum(counts.foreground + counts.predicted, 1)


def _e_measure(counts: Counts, protocol: Protocol) -> np.ndarray:  # noqa: ARG001
    """Enhanced alignment (Fan et al., IJCAI 2018), in closed form over the four regions of a binary map."""
    pixels = counts.foreground + counts.background
    predicted = counts.predicted
    if counts.foreground == 0:
        aligned = pixels - predicted
    elif counts.background == 0:
        aligned = predicted
    else:
        aligned = _aligned(counts, pixels, predicted)
    return aligned / (pixels - 1 + EPSILON)


def _aligned(counts: Counts, pixels: int, predicted: np.ndarray) -> np.ndarray:
    missed = counts.foreground - counts.true_positives
    regions = (
        (counts.true_positives, 1, 1),
        (counts.false_positives, 1, 0),
        (missed, 0, 1),
        (pixels - predicted - missed, 0, 0),
    )
    aligned = np.zeros(len(predicted))
    for size, map_value, mask_value in regions:
        map_part, mask_part = map_value - predicted / pixels, mask_value - counts.foreground / pixels
        alignment = 2 * map_part * mask_part / (map_part**2 + mask_part**2 + EPSILON)
        aligned += (alignment + 1) ** 2 / 4 * size
    return aligned


def _mean_absolute_error(pair: Pair) -> float:
    """Mean of |S - G| (spec 0.5 d)."""
    error = pair.histogram[0] @ pair.values + pair.histogram[1] @ (1 - pair.values)
    return float(error) / max(pair.pixels, 1)


def _s_measure(pair: Pair) -> float:
    """Structure measure (Fan et al., ICCV 2017) with alpha = 0.5."""
    if pair.foreground == 0 or pair.background == 0:
        mean = float(pair.levels @ pair.values) / max(pair.pixels, 1)
        return mean if pair.foreground else 1 - mean
    return max(0.0, 0.5 * _object_score(pair) + 0.5 * _region_score(pair))


def _object_score(pair: Pair) -> float:
    share = pair.foreground / pair.pixels
    inside = _likeness(pair.histogram[1], pair.values)
    return share * inside + (1 - share) * _likeness(pair.histogram[0], 1 - pair.values)


def _likeness(histogram: np.ndarray, values: np.ndarray) -> float:
    """2 mu / (mu^2 + 1 + sigma) of the values that should all be 1."""
    count = int(histogram.sum())
    mean = float(histogram @ values) / count
    deviation = float(np.sqrt(histogram @ (values - mean) ** 2 / (count - 1))) if count > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation + EPSILON)


def _region_score(pair: Pair) -> float:
    histograms, splits = quadrant_histograms(pair.maps, pair.masks, pair.protocol.foreground_above)
    (height, width), (rows, columns) = pair.maps.shape[1:], splits[0].tolist()
    parts = [rows * columns, rows * (width - columns), (height - rows) * columns]
    weights = [part / pair.pixels for part in parts]
    weights.append(1 - sum(weights))
    scores = [_similarity(histogram, pair.values) for histogram in histograms[0]]
    return sum(weight * score for weight, score in zip(weights, scores, strict=True))


def _similarity(histogram: np.ndarray, values: np.ndarray) -> float:
    """SSIM of one part of the map with the mask; an empty part has no weight."""
    background, foreground = histogram.sum(axis=1).tolist()
    count = background + foreground
    if count == 0:
        return 0.0
    mean, share = float(histogram.sum(axis=0) @ values) / count, foreground / count
    deviations = values - mean
    divisor = count - 1 + EPSILON
    spread = float(histogram.sum(axis=0) @ deviations**2) / divisor
    mask_spread = (foreground * (1 - share) ** 2 + background * share**2) / divisor
    joint = float(histogram[1] @ deviations * (1 - share) - histogram[0] @ deviations * share) / divisor
    numerator = 4 * mean * share * joint
    denominator = (mean**2 + share**2) * (spread + mask_spread)
    if numerator != 0:
        return numerator / (denominator + EPSILON)
    return 1.0 if denominator == 0 else 0.0


def _weighted_f_measure(pair: Pair) -> float:
    """Weighted F-measure (Margolin et al., CVPR 2014) with beta = 1; 0 for an empty mask."""
    if pair.foreground == 0:
        return 0.0
    sums = weighted_errors(pair.maps, pair.masks, pair.values[None], pair.protocol.foreground_above)[0]
    inside, outside, foreground = sums.tolist()
    recall = 1 - inside / foreground
    precision = (foreground - inside) / (foreground - inside + outside + EPSILON)
    return 2 * recall * precision / (recall + precision + EPSILON)


CURVES: dict[str, Callable[[Counts, Protocol], np.ndarray]] = {
    "fmeasure": _f_measure,
    "em": _e_measure,
    "precision": _precision,
    "recall": _recall,
    "iou": _iou,
    "dice": _dice,
}
NUMBERS: dict[str, Callable[[Pair], float]] = {
    "mae": _mean_absolute_error,
    "sm": _s_measure,
    "wfm": _weighted_f_measure,
}
METRICS = (*CURVES, *NUMBERS)
DEFAULT_METRICS = ("mae", "fmeasure", "em", "sm", "wfm")


def check_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics without repetition, or an UnseeError that lists those there are."""
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown or not metrics:
        raise UnseeError(f"unknown metrics {unknown}: choose from {', '.join(METRICS)}")
    return tuple(dict.fromkeys(metrics))


@dataclass(frozen=True)
class PairScores:
    """What one image adds: numbers by name, and curves over the protocol's thresholds, float64 [T]."""

    numbers: dict[str, float]
    curves: dict[str, np.ndarray]
    empty_mask: bool


def score_pair(
    prediction: np.ndarray, mask: np.ndarray, protocol: Protocol, metrics: Sequence[str], *, on_gpu: bool = False
) -> PairScores:
    """Score one map against its mask, both uint8 [H, W]; with `on_gpu`, their levels are counted on the CUDA device.

    Numbers of a metric with a curve: `adp` (threshold twice the mean), `bin` (one half) and `max` (best of its own
    thresholds). Raises ValueError for other dtypes or shapes that differ.
    """
    pair = Pair(np.asarray(prediction), np.asarray(mask), protocol, on_gpu)
    curves = {name: CURVES[name](pair.sweep, protocol) for name in _curve_names(metrics)}
    numbers = {name: NUMBERS[name](pair) for name in metrics if name in NUMBERS}
    for name in metrics:
        if name in CURVES:
            adaptive, binary = (float(CURVES[name](counts, protocol)[0]) for counts in pair.chosen)
            numbers[f"adp{name}"], numbers[f"bin{name}"] = adaptive, binary
            numbers[f"imagemax{name}"] = float(curves[name].max())
    return PairScores(numbers, curves, pair.foreground == 0)


def _curve_names(metrics: Sequence[str]) -> tuple[str, ...]:
    """F needs precision and recall: some protocols take it from their means."""
    wanted = [name for name in metrics if name in CURVES]
    return tuple(dict.fromkeys([*wanted, "precision", "recall"])) if "fmeasure" in wanted else tuple(wanted)


def number_names(metrics: Sequence[str]) -> list[str]:
    """Names of the numbers that `score_pair` gives for these metrics."""
    curves = [f"{kind}{name}" for name in metrics if name in CURVES for kind in ("adp", "bin", "imagemax")]
    return [name for name in metrics if name in NUMBERS] + curves


@dataclass(frozen=True)
class MetricResult:
    """Scores of a set of images.

    scores: means by name; `max` and `avg` are the best point and the mean of a set's curve, `imagemax` is the mean of
    the images' own best points. curves: float64 [T] by name, over `thresholds` (in the protocol's own unit).
    """

    protocol: str
    images: int
    empty_masks: int
    scores: dict[str, float]
    curves: dict[str, np.ndarray]
    thresholds: np.ndarray
    headline: str


@dataclass
class MetricSums:
    """Running sums over images; results do not depend on how images were split over sums, but for rounding."""

    protocol: str = "pysod"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    images: int = 0
    empty_masks: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        self.metrics = check_metrics(self.metrics)

    def update(self, prediction: np.ndarray, mask: np.ndarray) -> PairScores:
        """Add one map and its mask, both uint8 [H, W]; returns the image's own scores."""
        scores = score_pair(prediction, mask, find_protocol(self.protocol), self.metrics)
        self.add(scores)
        return scores

    def add(self, scores: PairScores) -> None:
        """Add the scores of one image."""
        self._add(1, int(scores.empty_mask), scores.numbers, scores.curves)

    def merge(self, other: "MetricSums") -> None:
        """Add the sums of other images, from another shard or machine; ValueError if they measure something else."""
        if (other.protocol, other.metrics) != (self.protocol, self.metrics):
            raise ValueError(f"sums of {other.protocol} {other.metrics} do not add to {self.protocol} {self.metrics}")
        self._add(other.images, other.empty_masks, other.numbers, other.curves)

    def result(self) -> MetricResult:
        """Means over the images so far; NaN without images."""
        protocol = find_protocol(self.protocol)
        count = self.images or float("nan")
        curves = {name: total / count for name, total in self.curves.items()}
        if protocol.average_first and "fmeasure" in curves:
            curves["fmeasure"] = f_measure(curves["precision"], curves["recall"], protocol.beta_squared)
        scores = {name: total / count for name, total in self.numbers.items()}
        for name in self.metrics:
            if name in curves:
                scores[f"max{name}"], scores[f"avg{name}"] = float(curves[name].max()), float(curves[name].mean())
        return MetricResult(
            self.protocol,
            self.images,
            self.empty_masks,
            dict(sorted(scores.items())),
            curves,
            protocol.thresholds,
            protocol.headline,
        )

    def _add(self, images: int, empty_masks: int, numbers: dict[str, float], curves: dict[str, np.ndarray]) -> None:
        self.images += images
        self.empty_masks += empty_masks
        for name, value in numbers.items():
            self.numbers[name] = self.numbers.get(name, 0.0) + value
        for name, curve in curves.items():
            self.curves[name] = self.curves.get(name, 0.0) + curve
