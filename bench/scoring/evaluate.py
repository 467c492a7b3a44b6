"""Scores of folders of maps against folders of masks: the engine of `unsee eval`.

Files are scored on threads and added up in the order of their keys, so that results do not depend on the number of
workers; only a few images are in memory at a time. A pair that cannot be read is a row, not an end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ...engine.progress import Progress
from ...engine.workers.pipeline import ordered_map
from ...files import write_json
from ...threads import cores
from .claims import ResultFiles, unwritable
from .evaluation_result import EvaluationResult
from .metrics import MetricSums, number_names
from .pairs import FilePair, PairList, pair_folders, pair_toolkit
from .score_tables import RowWriter, draw_curves
from .scored_files import Doubts, EvaluationConfig, ScoredFile, score_file


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
        for (method, dataset), pairs in lists.items():
            scored = _counted(_scored(pool, pairs.pairs, config), len(pairs.pairs), console)
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


def _counted(scored: Iterable[ScoredFile], total: int, console: Console | None) -> Iterator[ScoredFile]:
    """The same, with progress on the console where there is one."""
    if console is None:
        yield from scored
        return
    progress = Progress(console, "pairs")
    with progress.shown(total):
        for file in scored:
            progress.count(1, int(file.scores is None))
            yield file
