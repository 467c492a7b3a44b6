"""What an evaluation found, and on what it depends."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...names import printable
from .metrics import MetricResult
from .remarks import Remark


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of one set of maps, with everything that they depend on.

    missing: keys of masks without a map. unreadable: (key, reason) of pairs that could not be scored. extra: number of
    maps without a mask. remarks: files left out, and what makes the scores doubtful. Means are over `metrics.images`
    pairs that could be scored.
    """

    metrics: MetricResult
    resize: str
    missing: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    extra: int
    method: str = ""
    dataset: str = ""
    remarks: tuple[Remark, ...] = ()

    @property
    def doubtful(self) -> bool:
        """Whether a map or mask was read in a way that may not be meant."""
        return any(remark.doubtful for remark in self.remarks)

    @property
    def complete(self) -> bool:
        """Whether every mask had a map that could be scored."""
        return not self.missing and not self.unreadable

    def lines(self) -> Iterator[str]:
        """What a reader must know besides the scores: files left out, warnings, masks that could not be scored."""
        name = " ".join(filter(None, (self.method, self.dataset)))
        start = f"{name} " if name else ""
        for remark in self.remarks:
            yield f"{start}{remark.line()}"
        for key, reason in (*((key, "no map") for key in self.missing), *self.unreadable):
            yield f"{start}{key}: {reason}"

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; curves run over rising thresholds."""
        values = asdict(self)
        metrics = values.pop("metrics")
        metrics["thresholds"] = metrics["thresholds"].tolist()
        metrics["curves"] = {name: curve.tolist() for name, curve in metrics["curves"].items()}
        metrics["scores"] = {name: None if np.isnan(score) else score for name, score in metrics["scores"].items()}
        return _with_printable_names({**values, **metrics})


def _with_printable_names(value: Any) -> Any:
    """Return a JSON value whose texts are valid UTF-8."""
    if isinstance(value, dict):
        return {key: _with_printable_names(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_printable_names(item) for item in value]
    return printable(value) if isinstance(value, str) else value
