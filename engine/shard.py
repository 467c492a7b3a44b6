"""One shard from start to done-mark: read, decode, descend, post-process, encode, write, overlapped."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..export.sessions import Descent, Session
from ..files import write_json
from .config import RunConfig
from .decoding import DecodedImage, DecodingConfig, DecodingError, decode
from .detection import DIVERGED, Detection, detections
from .pipeline import StageClock, batched, ordered_map
from .plan import Plan, PlannedInput
from .rows import SUCCESS, Row, printable, write_rows
from .sinks import Sink, open_sink

DONE_MARK = "{shard:05d}_stats.json"
ROWS_FILE = "{shard:05d}.parquet"


@dataclass(frozen=True)
class Loaded:
    """An input that was read: its row so far, and its pixels unless it failed."""

    row: Row
    image: DecodedImage | None


@dataclass(frozen=True)
class Finished:
    """An input that went through the network: its row, and what was found unless it failed."""

    row: Row
    detection: Detection | None


def is_done(folder: Path, shard: int) -> bool:
    """Tell whether a shard's done-mark is there."""
    return (folder / DONE_MARK.format(shard=shard)).exists()


def run_shard(
    plan: Plan, shard: int, session: Session, config: RunConfig, on_row: Callable[[Row], None] | None = None
) -> None:
    """Process one shard of a plan; write its maps, then its rows, then its done-mark.

    on_row is called with each row as its image is finished, in the order of the plan.
    """
    clock = StageClock()
    started = time.time()
    sink = open_sink(config.output_format, plan.folder)
    rows: list[Row] = []
    for row in _finished_rows(plan.rows(shard), session, config, sink, clock):
        rows.append(row)
        if on_row:
            on_row(row)
    with clock.stage("write"):
        sink.flush()
        write_rows(plan.folder / ROWS_FILE.format(shard=shard), rows)
    write_json(plan.folder / DONE_MARK.format(shard=shard), shard_stats(rows, started, time.time(), clock.seconds))


def shard_stats(rows: list[Row], started: float, ended: float, stages: dict[str, float]) -> dict[str, object]:
    """Return the contents of a shard's done-mark; stage seconds are summed over threads."""
    statuses = Counter(row.error_code or row.status for row in rows)
    return {
        "count": len(rows),
        "successes": statuses[SUCCESS],
        "failed": len(rows) - statuses[SUCCESS],
        "duration": ended - started,
        "start_time": started,
        "end_time": ended,
        "status_dict": dict(statuses.most_common()),
        "stage_seconds": stages,
    }


def _finished_rows(
    inputs: list[PlannedInput], session: Session, config: RunConfig, sink: Sink, clock: StageClock
) -> Iterator[Row]:
    """Chain the stages; the descent runs in the calling thread, the others ahead of and behind it in pools."""
    decoding = DecodingConfig(session.info.input_size, config.exif, config.max_pixels)
    with (
        ThreadPoolExecutor(config.workers, "decode") as decoders,
        ThreadPoolExecutor(1, "post") as finishers,
        ThreadPoolExecutor(config.workers, "encode") as encoders,
    ):
        loaded = ordered_map(decoders, partial(_load, config=decoding, clock=clock), inputs, 2 * config.batch_size)
        descended = (_descend(batch, session, clock) for batch in batched(loaded, config.batch_size))
        finished = ordered_map(finishers, partial(_finish, session=session, config=config, clock=clock), descended, 2)
        images = (image for batch in finished for image in batch)
        yield from ordered_map(encoders, partial(_store, sink=sink, clock=clock), images, 2 * config.batch_size)


def _load(planned: PlannedInput, config: DecodingConfig, clock: StageClock) -> Loaded:
    row = Row(planned.key, printable(planned.path), planned.output, SUCCESS)
    try:
        with clock.stage("read"):
            path = Path(planned.path)
            if path.exists() and not path.is_file():  # opening a pipe would wait for ever
                return _failed(row, "failed_to_read", "not_a_file", "neither a regular file nor a link to one")
            data = path.read_bytes()
    except OSError as error:
        return _failed(row, "failed_to_read", type(error).__name__, error.strerror or str(error))
    row = replace(row, sha256=hashlib.sha256(data).hexdigest())
    try:
        with clock.stage("decode"):
            image = decode(data, config)
    except DecodingError as error:
        return _failed(row, "failed_to_decode", error.code, str(error))
    return Loaded(replace(row, width=image.width, height=image.height, orientation=image.orientation), image)


def _failed(row: Row, status: str, code: str, message: str) -> Loaded:
    return Loaded(replace(row, status=status, error_code=code, error_message=printable(message)), None)


def _descend(batch: list[Loaded], session: Session, clock: StageClock) -> tuple[list[Loaded], np.ndarray, Descent]:
    pixels = [loaded.image.pixels for loaded in batch if loaded.image]
    size = session.info.input_size
    images = np.stack(pixels) if pixels else np.zeros((0, size, size, 3), np.uint8)
    with clock.stage("descent"):
        return batch, images, session.descend(images)


def _finish(
    descended: tuple[list[Loaded], np.ndarray, Descent], session: Session, config: RunConfig, clock: StageClock
) -> list[Finished]:
    batch, images, descent = descended
    with clock.stage("post"):
        found = iter(detections(descent, images, config.preset.post, session.info.labels))
    return [_finished(loaded.row, next(found)) if loaded.image else Finished(loaded.row, None) for loaded in batch]


def _finished(row: Row, detection: Detection | None) -> Finished:
    if detection is None:
        return Finished(_failed(row, "failed_to_descend", "diverged", DIVERGED).row, None)
    done = replace(
        row,
        label=detection.target,
        label_name=detection.label,
        score=detection.score,
        raw_max=detection.magnitude,
        map_mean=float(detection.saliency.mean() / 255),
    )
    return Finished(done, detection)


def _store(finished: Finished, sink: Sink, clock: StageClock) -> Row:
    row, detection = finished.row, finished.detection
    if detection and row.width and row.height:
        with clock.stage("encode"):
            data = sink.encode(detection.resized(row.width, row.height))
        with clock.stage("write"):
            sink.write(row.key, row.output, data)
    return replace(row, output=printable(row.output))
