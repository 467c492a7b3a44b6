"""`unsee bench quality`: methods, models and stages over a data set with masks, with images a second beside every figure."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..engine.decoding import DecodingConfig, decode
from ..engine.pipeline import batched
from ..engine.postprocess import Maps, finish
from ..engine.presets import PRESETS, Preset
from ..errors import UnseeError
from ..export.parity import to_levels
from ..export.sessions import Session, open_session
from ..files import atomic_path, write_bytes, write_json
from .evaluate import RESIZE_OF_PROTOCOL, read_grey
from .machine import machine
from .metrics import MetricSums, PairScores
from .pairs import FilePair, pair_folders
from .resize import resize_to

STAGES = ("raw", "smoothed", "final")
METRICS = ("fmeasure", "mae")
GIVEN = "given"
"""Name of the method whose constants are those of the command's options."""

GRADIENT = replace(
    PRESETS["reference"],
    name="gradient",
    descent=replace(PRESETS["reference"].descent, gradient="raw", gradient_floor=-np.inf, iterations=1, step=1.0),
)
"""Simonyan's map, one pass: the largest magnitude over channels of the gradient of the top class's logit (spec 5.1)."""


@dataclass(frozen=True)
class QualityConfig:
    """images, masks: folders, matched by name. models: see `load_classifier`. methods: `gradient`, presets, or `given`.

    maps: folders of foreign maps by name. given: the preset of the method `given`. limit: number of images, None for all.
    """

    images: Path
    masks: Path
    models: tuple[str, ...]
    methods: tuple[str, ...] = ("gradient", "paper", "reference")
    maps: dict[str, Path] = field(default_factory=dict)
    given: Preset = PRESETS["reference"]
    protocol: str = "cheng"
    limit: int | None = None
    batch_size: int = 8
    device: str = "auto"
    backend: str = "auto"

    def preset(self, method: str) -> Preset:
        """Return the constants of a method."""
        known = {**PRESETS, GRADIENT.name: GRADIENT, GIVEN: self.given}
        if method not in known:
            raise UnseeError(f"unknown method {method!r}; known: {', '.join(known)}")
        return known[method]


@dataclass(frozen=True)
class QualityRow:
    """Scores of one stage of one method: F and MAE as the protocol defines them, images a second of the whole method."""

    model: str
    method: str
    stage: str
    f_measure: float
    mae: float
    images: int
    images_per_second: float | None


def bench_quality(
    config: QualityConfig, output: Path | None = None, console: Console | None = None
) -> list[QualityRow]:
    """Score every model, method and stage, print a table and one JSON line.

    output: folder for quality.json, quality.md and quality.parquet (a row an image).
    """
    console = console or Console()
    pairs = list(pair_folders(config.images, config.masks).pairs)[: config.limit]
    runs = [_Run(config, model, method) for model in config.models for method in config.methods]
    foreign = [_foreign_rows(config, name, folder) for name, folder in config.maps.items()]
    rows = [row for run in runs for row in run.rows(pairs, console)] + foreign
    report = {
        "benchmark": "quality",
        "protocol": config.protocol,
        "rows": [asdict(row) for row in rows],
        "machine": machine(),
    }
    if output:
        _write(output, rows, [record for run in runs for record in run.records], report)
    console.print(_table(rows, config))
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return rows


class _Run:
    """One model with one method over all images."""

    def __init__(self, config: QualityConfig, model: str, method: str) -> None:
        self.config, self.model, self.method = config, model, method
        self.preset = config.preset(method)
        self.sums = {stage: MetricSums(config.protocol, METRICS) for stage in STAGES}
        self.records: list[dict[str, Any]] = []
        self.seconds = 0.0

    def rows(self, pairs: list[FilePair], console: Console) -> Iterator[QualityRow]:
        session = open_session(self.model, self.preset.descent, self.config.device, self.config.backend)
        session.descend(np.zeros((1, *[session.info.input_size] * 2, 3), np.uint8), iterations=1)  # warm up
        batches = list(batched(pairs, self.config.batch_size))
        for batch in track(batches, f"{Path(self.model).name} {self.method}", console=console):
            self._score(batch, self._maps(batch, session))
        speed = len(pairs) / self.seconds
        for stage, sums in self.sums.items():
            yield _row(Path(self.model).name, self.method, stage, sums, speed)

    def _maps(self, batch: list[FilePair], session: Session) -> Maps:
        started = time.perf_counter()
        grid = DecodingConfig(session.info.input_size)
        images = np.stack([decode(pair.prediction.read_bytes(), grid).pixels for pair in batch])
        delta = session.descend(images).delta
        if self.method == GRADIENT.name:
            delta = np.abs(delta).max(1, keepdims=True).repeat(3, 1)
        maps = finish(delta, images, self.preset.post)
        self.seconds += time.perf_counter() - started
        return maps

    def _score(self, batch: list[FilePair], maps: Maps) -> None:
        for place, pair in enumerate(batch):
            mask = read_grey(pair.mask)
            for stage, sums in self.sums.items():
                scores = _scored(getattr(maps, stage)[place], mask, sums)
                name = {"model": Path(self.model).name, "method": self.method, "stage": stage, "key": pair.key}
                self.records.append({**name, **scores.numbers})


def _scored(saliency: np.ndarray, mask: np.ndarray, sums: MetricSums) -> PairScores:
    levels = to_levels(saliency)
    rule = RESIZE_OF_PROTOCOL.get(sums.protocol, "opencv")
    return sums.update(resize_to(levels, (mask.shape[0], mask.shape[1]), rule), mask)


def _foreign_rows(config: QualityConfig, name: str, folder: Path) -> QualityRow:
    sums = MetricSums(config.protocol, METRICS)
    for pair in pair_folders(folder, config.masks).pairs[: config.limit]:
        _scored(read_grey(pair.prediction) / 255, read_grey(pair.mask), sums)
    return _row(name, "maps as given", "final", sums, None)


def _row(model: str, method: str, stage: str, sums: MetricSums, speed: float | None) -> QualityRow:
    result = sums.result()
    f_measure, mae = result.scores[result.headline], result.scores["mae"]
    return QualityRow(model, method, stage, f_measure, mae, result.images, speed)


def _write(output: Path, rows: list[QualityRow], records: list[dict[str, Any]], report: dict[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "quality.json", report)
    write_bytes(output / "quality.md", markdown(rows).encode())
    if records:
        with atomic_path(output / "quality.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(records), temporary)


def markdown(rows: list[QualityRow]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| model | method | stage | F | MAE | images | images/s |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)]) + "\n"


def _table(rows: list[QualityRow], config: QualityConfig) -> Table:
    table = Table("model", "method", "stage", "F", "MAE", "images", "images/s", caption=f"protocol {config.protocol}")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: QualityRow) -> list[str]:
    speed = "" if row.images_per_second is None else f"{row.images_per_second:.2f}"
    return [row.model, row.method, row.stage, f"{row.f_measure:.3f}", f"{row.mae:.3f}", str(row.images), speed]
