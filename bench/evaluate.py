"""Scores of folders of maps against folders of masks: the engine of `unsee eval`.

Files are scored on threads and added up in the order of their keys, so that results do not depend on the number of
workers; only a few images are in memory at a time. A pair that cannot be read is a row, not an end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..engine.pipeline import ordered_map
from ..files import write_json
from ..names import printable, shown
from ..threads import cores
from .claims import ResultFiles, unwritable
from .metrics import MetricResult, MetricSums, number_names
from .pairs import FilePair, PairList, pair_folders, pair_toolkit
from .remarks import Remark
from .reports import RowWriter, draw_curves
from .scored_files import Doubts, EvaluationConfig, ScoredFile, score_file


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


def evaluate(
    pred: str | Path,
    gt: str | Path,
    config: EvaluationConfig | None = None,
    *,
    files: ResultFiles | None = None,
    console: Console | None = None,
    seen: Callable[[ScoredFile], None] | None = None,
) -> EvaluationResult:
    """Score the maps of one folder against the masks of another, matched by name.

    files: what to write. console: where progress is shown; None shows none. seen: is told what became of every pair.
    Raises UnseeError for folders that do not fit, OutputError for files that cannot be written.
    """
    lists = {("", ""): pair_folders(Path(pred), Path(gt))}
    return _evaluate_lists(lists, config or EvaluationConfig(), files or ResultFiles(), console, seen)[0]


def evaluate_toolkit(
    dataset_json: str | Path,
    method_json: str | Path,
    config: EvaluationConfig | None = None,
    *,
    datasets: Sequence[str] = (),
    methods: Sequence[str] = (),
    files: ResultFiles | None = None,
    console: Console | None = None,
) -> list[EvaluationResult]:
    """Score every method on every data set that PySODEvalToolkit's two JSON files name, as `evaluate` does."""
    lists = pair_toolkit(Path(dataset_json), Path(method_json), tuple(datasets), tuple(methods))
    return _evaluate_lists(lists, config or EvaluationConfig(), files or ResultFiles(), console)


def _evaluate_lists(
    lists: dict[tuple[str, str], PairList],
    config: EvaluationConfig,
    files: ResultFiles,
    console: Console | None,
    seen: Callable[[ScoredFile], None] | None = None,
) -> list[EvaluationResult]:
    files.claim(config.metrics)
    results = []
    with ExitStack() as stack:
        rows = stack.enter_context(_row_writer(files.per_image, config))
        pool = stack.enter_context(ThreadPoolExecutor(config.workers or cores()))
        progress = stack.enter_context(_progress(console))
        for (method, dataset), pairs in lists.items():
            title = shown(" ".join(filter(None, (method, dataset))) or "scoring")
            task = progress.add_task(title, total=len(pairs.pairs))
            scored = progress.track(_scored(pool, pairs.pairs, config), task_id=task)
            results.append(_summed(scored, pairs, config, rows, seen, method=method, dataset=dataset))
    _write(files, config, results)
    return results


@contextmanager
def _row_writer(path: Path | None, config: EvaluationConfig) -> Iterator[RowWriter | None]:
    if path is None:
        yield None
        return
    try:
        with RowWriter(path, number_names(config.metrics)) as rows:
            yield rows
    except OSError as error:  # files that cannot be read become rows: this is about the file of rows
        raise unwritable(path, "--per-image", error) from error


def _write(files: ResultFiles, config: EvaluationConfig, results: list[EvaluationResult]) -> None:
    if files.curves:
        try:
            draw_curves(files.curves, results)
        except OSError as error:
            raise unwritable(files.curves, "--curves", error) from error
    if files.json:
        value = {"config": asdict(config), "results": [result.as_json() for result in results]}
        try:
            write_json(files.json, value)
        except OSError as error:
            raise unwritable(files.json, "--json", error) from error


def _summed(
    scored: Iterable[ScoredFile],
    pairs: PairList,
    config: EvaluationConfig,
    rows: RowWriter | None,
    seen: Callable[[ScoredFile], None] | None,
    method: str,
    dataset: str,
) -> EvaluationResult:
    sums, unreadable, doubts = MetricSums(config.protocol, config.metrics), [], Doubts()
    for file in scored:
        if file.scores is None:
            unreadable.append((file.pair.key, file.error_message or file.status))
        else:
            sums.add(file.scores)
            doubts.add(file)
        if rows:
            rows.write(_row(file, method, dataset))
        if seen:
            seen(file)
    if rows:
        for key in pairs.missing:
            rows.write({"method": method, "dataset": dataset, "key": key, "status": "missing"})
    remarks = pairs.remarks + doubts.remarks()
    return EvaluationResult(
        sums.result(), config.resize_rule, pairs.missing, tuple(unreadable), pairs.extra, method, dataset, remarks
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
        "doubts": "; ".join(dict.fromkeys((*file.mask_doubts, *file.map_doubts))) or None,
        **(file.scores.numbers if file.scores else {}),
    }


def _scored(pool: ThreadPoolExecutor, pairs: Sequence[FilePair], config: EvaluationConfig) -> Iterator[ScoredFile]:
    """Scores in the order of the pairs, with no more than a few pairs a worker begun."""
    return ordered_map(pool, partial(score_file, config=config), pairs, 4 * (config.workers or cores()))


def _with_printable_names(value: Any) -> Any:
    """Return a JSON value whose texts are valid UTF-8."""
    if isinstance(value, dict):
        return {key: _with_printable_names(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_printable_names(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def _progress(console: Console | None) -> Progress:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console or Console(quiet=True), disable=console is None)
