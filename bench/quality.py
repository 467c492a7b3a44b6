"""`unsee bench quality`: methods, models, stages, ablations and peers over a data set with masks.

Everything runs in one process, with images a second beside every figure: from reading files to finished maps.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..engine.cleanup.presets import DEFAULT_PRESET, PRESETS, Preset
from ..engine.decoding.decoded_image import DecodingConfig
from ..engine.decoding.decoding import decode
from ..engine.methods.detection import cropped
from ..engine.methods.image_methods import IMAGE_METHODS
from ..engine.methods.method_config import MAP_METHODS
from ..engine.methods.models import method_for
from ..engine.workers.pipeline import batched
from ..errors import DeviceUnavailableError, MissingExtraError, UnseeError
from ..files import atomic_path, write_bytes, write_json
from ..kernels.eight_bits import to_levels
from ..terminal import stdout
from .ablations import Variant, variants
from .contenders import (
    FINAL,
    GRADIENT,
    Contender,
    Opened,
    image_contender,
    map_contender,
    method_contender,
    peer_contender,
)
from .peers.peer_list import PEERS, find_peer
from .scoring.greys import read_map, read_mask
from .scoring.metrics import MetricSums, PairScores
from .scoring.pairs import FilePair, pair_folders
from .scoring.resize import resize_to
from .scoring.scored_files import RESIZE_OF_PROTOCOL
from .speed.machine import machine

METRICS = ("fmeasure", "mae", "sm", "em", "wfm")
HEADINGS = ("model", "method", "stage", "F", "MAE", "S", "E", "wF", "images", "images/s", "MB")
GIVEN = "given"
"""Name of the method whose constants are those of the command's options."""
ALL = "all"


@dataclass(frozen=True)
class QualityConfig:
    """images, masks: folders, matched by name. models: see `load_classifier`; a map network makes its maps, whatever the
    methods. networks: ONNX files of other people's. methods: `gradient`, presets, `given`, or methods that need no model.

    maps: folders of foreign maps by name. given: the preset of the method `given`, of ablations and, for the number of
    passes, of peers. ablations: changes of it, see `ablations.variants`. peers: see `PEERS`. limit: number of images,
    None for all.
    """

    images: Path
    masks: Path
    models: tuple[str, ...]
    methods: tuple[str, ...] = ("gradient", "paper", "reference", "best")
    maps: dict[str, Path] = field(default_factory=dict)
    given: Preset = PRESETS[DEFAULT_PRESET]
    ablations: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    protocol: str = "cheng"
    limit: int | None = None
    batch_size: int = 8
    device: str = "auto"
    backend: str = "auto"
    networks: tuple[str, ...] = ()

    def preset(self, method: str) -> Preset:
        """Return the constants of a method."""
        known = {**PRESETS, GRADIENT.name: GRADIENT, GIVEN: self.given}
        if method not in known:
            raise UnseeError(f"unknown method {method!r}; known: {', '.join((*known, *IMAGE_METHODS))}")
        return known[method]

    def contenders(self) -> list[Contender]:
        """Return everything that is compared; `UnseeError` where a method, a change or a peer is unknown."""
        plain = [method for method in self.methods if method in IMAGE_METHODS]
        chosen = [(method, Variant(self.preset(method))) for method in self.methods if method not in plain]
        if self.ablations:
            chosen += [(GIVEN, one) for one in variants(self.given, self.ablations) if (GIVEN, one) not in chosen]
        found = []
        for model in self.models:
            if (method := method_for("b", model)) in MAP_METHODS:
                found.append(map_contender(model, method, self.device, self.backend))
            else:
                found += [method_contender(model, name, one, self.device, self.backend) for name, one in chosen]
        names = [Path(network).name for network in self.networks]
        for network, name in zip(self.networks, names, strict=True):
            contender = map_contender(network, "network", self.device, self.backend)
            found.append(replace(contender, model=network) if names.count(name) > 1 else contender)
        found += [image_contender(method) for method in plain]
        for name in dict.fromkeys(name for peer in self.peers for name in (PEERS if peer == ALL else (peer,))):
            models = self.models if find_peer(name).needs_model else self.models[:1]
            found += [peer_contender(name, model, self.given.descent, self.device) for model in models]
        return found


@dataclass(frozen=True)
class QualityRow:
    """Scores of one stage of one method, as the protocol defines them, E the largest of its curve.

    images_per_second: of the whole method, from files to finished maps. megabytes: of the model's weights.
    """

    model: str
    method: str
    stage: str
    f_measure: float
    mae: float
    images: int
    images_per_second: float | None
    s_measure: float
    e_measure: float
    weighted_f: float
    megabytes: float | None = None


def bench_quality(
    config: QualityConfig, output: Path | None = None, console: Console | None = None
) -> list[QualityRow]:
    """Score every model, method and stage, print a table and one JSON line.

    output: folder for quality.json, quality.md and quality.parquet (a row an image).
    """
    console = console or stdout()
    runs, skipped = [], {}
    contenders = config.contenders()
    pairs = list(pair_folders(config.images, config.masks).pairs)[: config.limit]
    foreign = [_foreign_rows(config, name, folder) for name, folder in config.maps.items()]
    with tempfile.TemporaryDirectory() as folder:
        for contender in contenders:
            try:
                runs.append(_run(contender, config, pairs, Path(folder), console))
            except (MissingExtraError, DeviceUnavailableError) as error:
                skipped[f"{contender.model} {contender.method}"] = str(error)
    rows = [row for run in runs for row in run.rows()] + foreign
    report = {
        "benchmark": "quality",
        "protocol": config.protocol,
        "data": "/".join(config.images.resolve().parts[-2:]),
        "given": config.given.name,
        "rows": [asdict(row) for row in rows],
        "skipped": skipped,
        "machine": machine(),
    }
    if output:
        _write(output, rows, [record for run in runs for record in run.records], report)
    console.print(_table(rows, config), soft_wrap=False)
    for name, reason in skipped.items():
        console.print(f"{name} left out: {reason}", markup=False, soft_wrap=True)
    console.print(json.dumps(report), soft_wrap=True, markup=False, highlight=False)
    return rows


def _run(
    contender: Contender, config: QualityConfig, pairs: list[FilePair], workspace: Path, console: Console
) -> "_Run":
    """Open one contender and map, time and score all images."""
    run = _Run(contender, config.protocol)
    opened = contender.open(workspace, config.batch_size)
    batches = list(batched(pairs, config.batch_size))
    for batch in track(batches, f"{contender.model} {contender.method}", console=console):
        run.add(batch, opened)
    return run


class _Run:
    """The sums of one contender."""

    def __init__(self, contender: Contender, protocol: str) -> None:
        self.contender = contender
        self.sums = {stage: MetricSums(protocol, METRICS) for stage in contender.stages}
        self.records: list[dict[str, Any]] = []
        self.images = 0
        self.seconds = 0.0

    def add(self, batch: list[FilePair], opened: Opened) -> None:
        """Map and score images."""
        started = time.perf_counter()
        grid = DecodingConfig(opened.size, resizing=opened.resizing)
        images = [decode(pair.prediction.read_bytes(), grid) for pair in batch]
        maps = opened.maps(np.stack([image.pixels for image in images]))
        self.seconds += time.perf_counter() - started
        self.images += len(batch)
        for place, pair in enumerate(batch):
            mask = read_mask(pair.mask).pixels
            for stage, sums in self.sums.items():
                scores = _scored(cropped(maps[stage][place], images[place].frame), mask, sums)
                name = {"model": self.contender.model, "method": self.contender.method, "stage": stage, "key": pair.key}
                self.records.append({**name, **scores.numbers})

    def rows(self) -> Iterator[QualityRow]:
        """Return the means, a row a stage."""
        for stage, sums in self.sums.items():
            speed, megabytes = self.images / self.seconds, self.contender.megabytes
            yield _row(self.contender.model, self.contender.method, stage, sums, speed, megabytes)


def _scored(saliency: np.ndarray, mask: np.ndarray, sums: MetricSums) -> PairScores:
    levels = to_levels(saliency)
    rule = RESIZE_OF_PROTOCOL.get(sums.protocol, "opencv")
    return sums.update(resize_to(levels, (mask.shape[0], mask.shape[1]), rule), mask)


def _foreign_rows(config: QualityConfig, name: str, folder: Path) -> QualityRow:
    sums = MetricSums(config.protocol, METRICS)
    for pair in pair_folders(folder, config.masks).pairs[: config.limit]:
        _scored(read_map(pair.prediction).pixels / 255, read_mask(pair.mask).pixels, sums)
    return _row(name, "maps as given", "final", sums, None)


def _row(
    model: str, method: str, stage: str, sums: MetricSums, speed: float | None, megabytes: float | None = None
) -> QualityRow:
    result = sums.result()
    names = (result.headline, "mae", "sm", "maxem", "wfm")
    f_measure, mae, structure, alignment, weighted = (result.scores[name] for name in names)
    return QualityRow(
        model, method, stage, f_measure, mae, result.images, speed, structure, alignment, weighted, megabytes
    )


def _write(output: Path, rows: list[QualityRow], records: list[dict[str, Any]], report: dict[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "quality.json", report)
    write_bytes(output / "quality.md", markdown(rows).encode())
    if records:
        with atomic_path(output / "quality.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(records), temporary)


def markdown(rows: list[QualityRow]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)]) + "\n"


def _table(rows: list[QualityRow], config: QualityConfig) -> Table:
    """Return the rows for a screen: the stage goes with the method, and the number of images below."""
    counts = ", ".join(sorted({str(row.images) for row in rows}, key=int))
    table = Table(
        box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, caption=f"protocol {config.protocol}, {counts} images"
    )
    for heading in ("model", "method"):
        table.add_column(heading, overflow="fold")
    for heading in HEADINGS[3:]:
        if heading != "images":
            table.add_column(heading, no_wrap=True, justify="right")
    for row in rows:
        model, method, stage, *figures = _cells(row)
        del figures[HEADINGS.index("images") - 3]
        table.add_row(model, method if stage == FINAL else f"{method} {stage}", *figures)
    return table


def _cells(row: QualityRow) -> list[str]:
    scores = (row.f_measure, row.mae, row.s_measure, row.e_measure, row.weighted_f)
    figures = [f"{score:.3f}" for score in scores]
    speed = "" if row.images_per_second is None else f"{row.images_per_second:.2f}"
    size = "" if row.megabytes is None else f"{row.megabytes:.1f}"
    return [row.model, row.method, row.stage, *figures, str(row.images), speed, size]
