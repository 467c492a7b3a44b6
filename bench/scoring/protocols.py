"""What a benchmark toolbox does to a map and a mask before it counts: named, because the numbers depend on it.

A protocol sees a map as 256 levels. It says what each level becomes, which thresholds are swept, where the mask begins,
how ratios with nothing in them come out, and whether curves are averaged before or after the F-measure is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import UnseeError

BETA_SQUARED = 0.3
LEVELS = np.arange(256)


@dataclass(frozen=True)
class Protocol:
    """One toolbox's conventions.

    foreground_above: mask levels above it are foreground. values(lowest, highest): float64 [256] in 0..1, what each
    level stands for. keys(lowest, highest): [256], what is compared (>=) with thresholds, float64 [T] ascending.
    ratio(part, whole): precision and recall. average_first: the F curve comes from the mean precision and recall.
    headline: the number that the toolbox's users call "the F-measure". beta_squared: weight of the precision in it.
    """

    name: str
    source: str
    foreground_above: int
    values: Callable[[int, int], np.ndarray]
    keys: Callable[[int, int], np.ndarray]
    thresholds: np.ndarray
    ratio: Callable[[np.ndarray, np.ndarray], np.ndarray]
    average_first: bool
    headline: str = "maxfmeasure"
    beta_squared: float = BETA_SQUARED


def _stretched(lowest: int, highest: int) -> np.ndarray:
    """Min-max over the levels that occur, in the reference's order of operations; a flat map stays as it is."""
    levels = LEVELS / 255
    if highest > lowest:
        levels = (levels - levels[lowest]) / (levels[highest] - levels[lowest])
    return levels.clip(0, 1)


def _truncated(lowest: int, highest: int) -> np.ndarray:
    return (_stretched(lowest, highest) * 255).astype(np.uint8)


def _rounded(lowest: int, highest: int) -> np.ndarray:
    """cv::normalize(NORM_MINMAX, 0, 255) of an 8-bit map: a fused float32 multiply-add, then half to even; flat: 0."""
    if highest == lowest:
        return np.zeros(256, np.uint8)
    scale = 255.0 / (highest - lowest)
    product = LEVELS * float(np.float32(scale))
    return np.rint((product + float(np.float32(-lowest * scale))).astype(np.float32)).clip(0, 255).astype(np.uint8)


def _rounded_values(lowest: int, highest: int) -> np.ndarray:
    return _rounded(lowest, highest) / 255


def _zero_based(lowest: int, highest: int) -> np.ndarray:
    """Min-max in float; a flat map is 0."""
    return ((LEVELS - lowest) / max(highest - lowest, 1)).clip(0, 1)


def _over_maximum(lowest: int, highest: int) -> np.ndarray:  # noqa: ARG001
    return (LEVELS / max(highest, 1)).clip(0, 1)


def _as_stored(lowest: int, highest: int) -> np.ndarray:  # noqa: ARG001
    return LEVELS / 255


def _levels(lowest: int, highest: int) -> np.ndarray:  # noqa: ARG001
    return LEVELS


def _zero_for_nothing(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _one_for_nothing(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return (part + 1e-200) / (whole + 1e-200)


def _with_epsilon(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / (whole + np.finfo(float).eps)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("pysod", "PySODMetrics", 128, _stretched, _truncated, LEVELS.astype(float), _zero_for_nothing, False),
        Protocol(
            "cheng", "CmEvaluation.cpp", 128, _rounded_values, _rounded, LEVELS.astype(float), _one_for_nothing, True
        ),
        Protocol(
            "lps",
            "evaluate.py of LPS",
            0,
            _zero_based,
            _zero_based,
            np.linspace(0, 1, 21),
            _with_epsilon,
            True,
            "adpfmeasure",
        ),
        Protocol(
            "sal-eval",
            "sal_eval_toolbox",
            25,
            _over_maximum,
            _over_maximum,
            LEVELS / 255,
            _zero_for_nothing,
            False,
        ),
        Protocol(  # thresholds 0, 1/255, ... 254/255, which a value must exceed
            "selfmask",
            "metrics/f_measure.py of SelfMask",
            128,
            _as_stored,
            _levels,
            LEVELS[1:].astype(float),
            _zero_for_nothing,
            False,
            "imagemaxfmeasure",
            0.3**2,  # what is called beta squared there is squared once more
        ),
        Protocol(
            "tokencut",
            "unsupervised_saliency_detection/metric.py of TokenCut",
            128,
            _as_stored,
            _levels,
            LEVELS[1:].astype(float),
            _one_for_nothing,
            False,
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Look a protocol up by name; an UnseeError lists the names there are."""
    if name not in PROTOCOLS:
        raise UnseeError(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def f_measure(precision: np.ndarray, recall: np.ndarray, beta_squared: float = BETA_SQUARED) -> np.ndarray:
    """(1 + b2) P R / (b2 P + R); 0 where P R = 0 (spec 0.5)."""
    numerator = (1 + beta_squared) * precision * recall
    return numerator / np.where(numerator == 0, 1, beta_squared * precision + recall)
