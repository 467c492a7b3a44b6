"""Scores of folders of maps against folders of masks: the engine of `unsee eval`.

Files are scored on threads and added up in the order of their keys, so that results do not depend on the number of
workers; only a few images are in memory at a time. A pair that cannot be read is a row, not an end.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..engine.pipeline import ordered_map
from ..errors import UnseeError
from ..files import write_json
from ..threads import cores
from .metrics import DEFAULT_METRICS, MetricResult, MetricSums, PairScores, check_metrics, number_names, score_pair
from .pairs import FilePair, PairList, pair_folders, pair_toolkit
from .protocols import find_protocol
from .reports import RowWriter, draw_curves
from .resize import ResizeRule, check_rule, resize_to

RESIZE_OF_PROTOCOL: dict[str, ResizeRule] = {"lps": "pillow"}  # the others leave it to PySODEvalToolkit: opencv


@dataclass(frozen=True)
class EvaluationConfig:
    """How maps are scored: checked on construction, saved with the results.

    resize: how a map comes to its mask's size; None takes the protocol's own rule. workers: threads; None takes one a
    core.
    """

    protocol: str = "pysod"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    resize: ResizeRule | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        object.__setattr__(self, "metrics", check_metrics(self.metrics))
        check_rule(self.resize_rule)
        if self.workers is not None and self.workers < 1:
            raise UnseeError(f"at least 1 worker is needed, got {self.workers}")

    @property
    def resize_rule(self) -> ResizeRule:
        return self.resize or RESIZE_OF_PROTOCOL.get(self.protocol, "opencv")


@dataclass(frozen=True)
class ScoredFile:
    """What became of one pair: scores, or why there are none."""

    pair: FilePair
    status: str
    error_message: str | None = None
    height: int | None = None
    width: int | None = None
    scores: PairScores | None = None


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of one set of maps, with everything that they depend on.

    missing: keys of masks without a map. unreadable: (key, reason) of pairs that could not be scored. extra: number of
    maps without a mask. Means are over `metrics.images` pairs that could be scored.
    """

    metrics: MetricResult
    resize: str
    missing: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    extra: int
    method: str = ""
    dataset: str = ""

    @property
    def complete(self) -> bool:
        """Whether every mask had a map that could be scored."""
        return not self.missing and not self.unreadable

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; curves run over rising thresholds."""
        values = asdict(self)
        metrics = values.pop("metrics")
        metrics["thresholds"] = metrics["thresholds"].tolist()
        metrics["curves"] = {name: curve.tolist() for name, curve in metrics["curves"].items()}
        metrics["scores"] = {name: None if np.isnan(score) else score for name, score in metrics["scores"].items()}
        return {**values, **metrics}


def evaluate(
    pred: str | Path,
    gt: str | Path,
    config: EvaluationConfig | None = None,
    *,
    per_image: str | Path | None = None,
    curves: str | Path | None = None,
    json: str | Path | None = None,
    console: Console | None = None,
) -> EvaluationResult:
    """Score the maps of one folder against the masks of another, matched by name.

    per_image: parquet file, one row a mask. curves: PNG of precision-recall and F over thresholds. json: file for the
    result. console: where progress is shown; None shows none. Raises UnseeError for folders that do not fit.
    """
    lists = {("", ""): pair_folders(Path(pred), Path(gt))}
    return _evaluate_lists(lists, config or EvaluationConfig(), per_image, curves, json, console)[0]


def evaluate_toolkit(
    dataset_json: str | Path,
    method_json: str | Path,
    config: EvaluationConfig | None = None,
    *,
    datasets: Sequence[str] = (),
    methods: Sequence[str] = (),
    per_image: str | Path | None = None,
    curves: str | Path | None = None,
    json: str | Path | None = None,
    console: Console | None = None,
) -> list[EvaluationResult]:
    """Score every method on every data set that PySODEvalToolkit's two JSON files name, as `evaluate` does."""
    lists = pair_toolkit(Path(dataset_json), Path(method_json), tuple(datasets), tuple(methods))
    return _evaluate_lists(lists, config or EvaluationConfig(), per_image, curves, json, console)


def _evaluate_lists(
    lists: dict[tuple[str, str], PairList],
    config: EvaluationConfig,
    per_image: str | Path | None,
    curves: str | Path | None,
    json: str | Path | None,
    console: Console | None,
) -> list[EvaluationResult]:
    results = []
    with ExitStack() as stack:
        rows = stack.enter_context(RowWriter(Path(per_image), number_names(config.metrics))) if per_image else None
        pool = stack.enter_context(ThreadPoolExecutor(config.workers or cores()))
        progress = stack.enter_context(_progress(console))
        for (method, dataset), pairs in lists.items():
            task = progress.add_task(" ".join(filter(None, (method, dataset))) or "scoring", total=len(pairs.pairs))
            scored = _scored(pool, pairs.pairs, config)
            results.append(
                _summed(progress.track(scored, task_id=task), pairs, config, rows, method=method, dataset=dataset)
            )
    if curves:
        draw_curves(Path(curves), results)
    if json:
        write_json(Path(json), {"config": asdict(config), "results": [result.as_json() for result in results]})
    return results


def _summed(
    scored: Iterable[ScoredFile],
    pairs: PairList,
    config: EvaluationConfig,
    rows: RowWriter | None,
    method: str,
    dataset: str,
) -> EvaluationResult:
    sums, unreadable = MetricSums(config.protocol, config.metrics), []
    for file in scored:
        if file.scores is None:
            unreadable.append((file.pair.key, file.error_message or file.status))
        else:
            sums.add(file.scores)
        if rows:
            rows.write(_row(file, method, dataset))
    if rows:
        for key in pairs.missing:
            rows.write({"method": method, "dataset": dataset, "key": key, "status": "missing"})
    return EvaluationResult(
        sums.result(), config.resize_rule, pairs.missing, tuple(unreadable), pairs.extra, method, dataset
    )


def _row(file: ScoredFile, method: str, dataset: str) -> dict[str, Any]:
    return {
        "method": method,
        "dataset": dataset,
        "key": file.pair.key,
        "prediction": str(file.pair.prediction),
        "mask": str(file.pair.mask),
        "status": file.status,
        "error_message": file.error_message,
        "width": file.width,
        "height": file.height,
        "empty_mask": file.scores.empty_mask if file.scores else None,
        **(file.scores.numbers if file.scores else {}),
    }


def _scored(pool: ThreadPoolExecutor, pairs: Sequence[FilePair], config: EvaluationConfig) -> Iterator[ScoredFile]:
    """Scores in the order of the pairs, with no more than a few pairs a worker begun."""
    return ordered_map(pool, partial(score_file, config=config), pairs, 4 * (config.workers or cores()))


def score_file(pair: FilePair, config: EvaluationConfig) -> ScoredFile:
    """Read, resize and score one pair; an image that cannot be read or scored gives a status and a reason."""
    stage = "failed_to_decode"
    try:
        mask, prediction = read_grey(pair.mask), read_grey(pair.prediction)
        stage = "failed_to_score"
        prediction = resize_to(prediction, (mask.shape[0], mask.shape[1]), config.resize_rule)
        scores = score_pair(prediction, mask, find_protocol(config.protocol), config.metrics)
    except Exception as error:  # whatever a damaged file does becomes its row
        return ScoredFile(pair, stage, f"{type(error).__name__}: {error}")
    return ScoredFile(pair, "success", height=mask.shape[0], width=mask.shape[1], scores=scores)


def read_grey(path: Path) -> np.ndarray:
    """Read an image as 8-bit grey, uint8 [H, W]; 16-bit files give their upper 8 bits, colours ITU-R 601 luma."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.asarray(image.convert("L"))


def _progress(console: Console | None) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console or Console(quiet=True), disable=console is None)
