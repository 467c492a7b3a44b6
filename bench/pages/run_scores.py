"""Scores of a run's maps against masks, image by image."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ...engine.outputs.layout import MAP_SUFFIX
from ...engine.outputs.plan import Plan
from ...errors import UnseeError
from ..scoring.evaluate import evaluate
from ..scoring.evaluation_result import EvaluationResult
from ..scoring.scored_files import EvaluationConfig, ScoredFile
from .finished import Finished

SCORES = {
    "maxfmeasure": "max F",
    "avgfmeasure": "mean F",
    "adpfmeasure": "F at twice the mean",
    "binfmeasure": "F at one half",
    "mae": "MAE",
}


@dataclass(frozen=True)
class RunScores:
    """Scores of a run; files: mask, mean absolute error and largest F of each map by its path."""

    result: EvaluationResult
    files: dict[Path, tuple[Path, float, float]]

    def of(self, folder: Path, finished: Finished) -> tuple[Path, float, float] | None:
        """Return the mask of an image of the run in `folder`, and the error and F of its map, where it has any."""
        return self.files.get(folder / (finished.planned.input.output + MAP_SUFFIX))

    def fact(self) -> str:
        """Return the scores as one line."""
        scores = self.result.metrics.scores
        found = ", ".join(f"{title} {scores[name]:.3f}" for name, title in SCORES.items() if name in scores)
        left = f"{len(self.result.missing)} masks without a map, {len(self.result.unreadable)} pairs unreadable"
        return f"{found or 'no pair could be scored'}; {left}"


def score_run(plan: Plan, masks: Path, messages: Console | None = None) -> RunScores:
    """Score the maps of a run; messages: told what was left out or is doubtful. `UnseeError` where maps are no files."""
    if plan.identity["output_format"] != "files":
        raise UnseeError(f"{plan.folder}: masks need a run whose maps are files: --output-format files")
    files: dict[Path, tuple[Path, float, float]] = {}

    def keep(file: ScoredFile) -> None:
        if file.scores:
            numbers = file.scores.numbers
            files[file.pair.prediction] = file.pair.mask, numbers["mae"], numbers["imagemaxfmeasure"]

    result = evaluate(plan.folder, masks, EvaluationConfig(metrics=("fmeasure", "mae")), seen=keep)
    if messages:
        for line in result.lines():
            messages.print(line)
    return RunScores(result, files)
