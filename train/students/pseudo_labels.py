"""Labels that no person made: which of them are learned from, and how they change from round to round. No torch needed."""

import numpy as np

from .student_config import StudentConfig


def chosen(labels: np.ndarray, known: np.ndarray, config: StudentConfig) -> np.ndarray:
    """Return the numbers of the photographs that are learned from.

    labels: float [P,H,W] in 0..1. known: bool [P], those with masks, all of which are taken. Of the others the most decided
    ones (mean |2y - 1|), and of these the ones whose object is neither tiny nor most of the frame.
    """
    decided = np.abs(2 * labels - 1).mean((1, 2))
    share = (labels > 0.5).mean((1, 2))
    fits = (share > config.smallest_object) & (share < config.largest_object)
    unsure = decided[~known]
    least = np.quantile(unsure, 1 - config.kept) if len(unsure) else 0.0
    return np.flatnonzero(known | (fits & (decided >= least)))


def next_labels(answers: np.ndarray, teachers: np.ndarray, number: int) -> np.ndarray:
    """Return the labels of the round after round `number`, float32 [P,H,W].

    answers: the student's own maps. teachers: what it was taught first; after round 1 it is heard once more.
    """
    return (answers + teachers) / np.float32(2) if number == 1 else answers


def changed_share(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of pixels that change sides between two rounds' labels [P,H,W]."""
    return float(((before > 0.5) != (after > 0.5)).mean()) if before.size else 0.0
