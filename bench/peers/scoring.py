"""PySODMetrics: what a user would score maps with."""

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ...extras import require


def scoring_peer() -> ModuleType:
    """Return PySODMetrics; MissingExtraError where it is not installed."""
    return require("py_sod_metrics", "peers", "comparing with PySODMetrics")


def scored_by_peer(pairs: Sequence[tuple[np.ndarray, np.ndarray]], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Score maps against masks, both uint8 [H,W], by PySODMetrics' classes of these names."""
    reference = scoring_peer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces that Fmeasure will go one day
        meters = [getattr(reference, name)() for name in classes]
    for prediction, mask in pairs:
        for meter in meters:
            meter.step(prediction, mask)
    return [meter.get_results() for meter in meters]
