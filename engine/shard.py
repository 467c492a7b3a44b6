"""One shard from start to done-mark: read, decode, descend, post-process, encode, write, overlapped."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import BadImageError, DecodingError, OutputError
from ..export.runtime.model_info import ModelInfo
from ..files import write_json
from ..threads import usable_threads
from .inputs.decoding import DecodedImage, DecodingConfig, decode
from .inputs.input import ReadingError, read
from .methods.detection import DIVERGED, Detection, Failure, within_frames
from .methods.method import Method
from .methods.networks import Promoter
from .outputs.done_marks import is_done, shard_stats
from .outputs.journal import Journal
from .outputs.layout import done_mark
from .outputs.output_formats import SINKS
from .outputs.plan import Plan, PlannedInput
from .outputs.rows import SUCCESS, Row, Stored
from .outputs.sink import Sink, UnstorableError
from .plans.earlier_shard import Carried, Earlier, unfinished_shard
from .plans.priors import Priors
from .remote.opening import TIMEOUT
from .run_config import RunConfig, runs_image_by_image
from .segmentation.object_columns import object_columns
from .segmentation.objectness import judged
from .segmentation.objects import marked, object_mask
from .segmentation.segmenter import Segmenter
from .segmentation.stored_picture import Picture
from .workers.daemon_threads import Workers
from .workers.pipeline import StageClock, batched, ordered_map, ordered_map_within


@dataclass(frozen=True)
class Work:
    """An input on its way through the stages: its row so far, and what the last stage made of it.

    carried: its row, and its map where it succeeded, are taken over from an earlier run. data: the file, where the picture
    that is stored shows it.
    """

    planned: PlannedInput
    row: Row
    image: DecodedImage | None = None
    detection: Detection | None = None
    carried: Carried | None = None
    data: bytes | None = None


@dataclass(frozen=True)
class Batch:
    """Images on their way through the models, those of `works` that could be read.

    pixels: uint8 [B,S,S,3]. promoter_pixels: uint8 [B,P,P,3], where maps are promoted. priors: uint8 [B,S,S], the given
    maps, where there are any.
    """

    works: list[Work]
    pixels: np.ndarray
    promoter_pixels: np.ndarray | None
    priors: np.ndarray | None


class ShardRunner:
    """Runs shards with one method, whose models are loaded."""

    def __init__(self, method: Method, config: RunConfig, promoter: Promoter | None = None) -> None:
        self.method = method
        self.promoter = promoter
        method.pad_batches()
        if promoter:
            promoter.pad_batches()
        self.segmenter = Segmenter(config.segmentation)
        self.config = config
        fine = promoter.info.input_size if promoter else None
        self.decoding = DecodingConfig(
            method.info.input_size, config.exif, config.max_pixels, config.exact_decoding, fine, method.info.resizing
        )
        self.priors = Priors(config.prior, self.decoding) if config.prior else None
        self.clock = StageClock()

    @property
    def info(self) -> ModelInfo:
        """What runs where; the model's identity names the promoter too."""
        info = self.method.info
        if self.promoter is None:
            return info
        promoter = self.promoter.info
        runs = f"{promoter.backend} on {promoter.device.split(':')[0]}{_rounded(promoter)}"
        return replace(info, model_id=f"{info.model_id}, promoted by {promoter.model_id} ({runs})")

    def close(self) -> None:
        """Give back what the models hold."""
        self.method.close()
        if self.promoter is not None:
            self.promoter.close()

    def run(
        self, plan: Plan, shard: int, earlier: Earlier | None = None, on_row: Callable[[Row], None] | None = None
    ) -> dict[str, Any]:
        """Process one shard of a plan: its maps, its rows, and last its done-mark, whose contents are returned.

        on_row is called with each row as its image is finished, in the order of the plan. Raises `OutputError` where
        the results cannot be written, `BadImageError` on a failed image where the configuration says so.
        """
        self.clock, self._carried = StageClock(), 0
        started = time.time()
        earlier = earlier or unfinished_shard(plan, shard)
        journal = None if is_done(plan.folder, shard) else _writing(Journal, plan, shard)
        try:
            counts = self._finished(plan, shard, earlier, journal, on_row)
        finally:
            if journal:
                journal.close()
        stats = shard_stats(counts, self._carried, started, time.time(), self.clock.seconds)
        _writing(write_json, done_mark(plan.folder, shard), stats)
        if journal:
            journal.remove()
        return stats

    def _finished(
        self, plan: Plan, shard: int, earlier: Earlier, journal: Journal | None, on_row: Callable[[Row], None] | None
    ) -> Counter[str]:
        """Make the shard's maps and rows final, and return what became of its inputs."""
        counts: Counter[str] = Counter()
        size = self.decoding.promoter_size or self.decoding.size
        sink = _writing(SINKS[self.config.output_format], plan.folder, shard, size, self.config.rows_with)
        try:
            for row in self._rows(plan.rows(shard), sink, earlier, journal):
                counts[row.error_code or row.status] += 1
                if on_row:
                    on_row(row)
                self._stop_at_failure(row)
            # Now, so that rows and done-mark of a shard that is redone never differ.
            done_mark(plan.folder, shard).unlink(missing_ok=True)
            with self.clock.stage("write"):
                _writing(sink.close)
        except BaseException:
            sink.abort()
            raise
        return counts

    def _stop_at_failure(self, row: Row) -> None:
        if self.config.on_error == "raise" and row.status != SUCCESS:
            raise BadImageError(f"{row.path}: {row.status}: {row.error_message}")

    def _rows(self, inputs: list[PlannedInput], sink: Sink, earlier: Earlier, journal: Journal | None) -> Iterator[Row]:
        """Chain the stages; the descent runs in the calling thread, the others ahead of and behind it in pools."""
        batch_size, config = self.method.batch_size, self.config
        with (
            Workers(config.worker_count, "decode") as decoders,
            Workers(1, "post") as finishers,
            Workers(config.worker_count, "encode") as encoders,
            Workers(1, "write") as writers,
        ):
            load = partial(self._load, earlier=earlier)
            loaded = ordered_map_within(decoders, load, inputs, 2 * batch_size, config.timeout, self._late)
            descended = (self._descend(batch) for batch in batched(loaded, batch_size, self._first_batch()))
            finished = ordered_map(finishers, self._finish, descended, 2)
            work = (item for batch in finished for item in batch)
            encoded = ordered_map(encoders, partial(self._encode, sink=sink), work, 2 * batch_size)
            yield from ordered_map(writers, partial(self._store, sink=sink, journal=journal), encoded, 2 * batch_size)

    def _first_batch(self) -> int | None:
        """Return how many images are enough for the first batch: one a core, where the size decides no result."""
        info = self.method.info
        return usable_threads() if runs_image_by_image(info.backend, info.device) else None

    def _load(self, planned: PlannedInput, earlier: Earlier) -> Work:
        kept = earlier.kept(planned)
        if kept:
            return Work(planned, kept.row, carried=kept)
        row = Row(planned.key, planned.input.place, planned.input.output)
        try:
            with self.clock.stage("read"):
                data = read(planned.input, self.config.reading)
        except ReadingError as error:
            if error.code == TIMEOUT:
                return self._late(planned)
            return _failed(Work(planned, row), "failed_to_read", error.code, str(error))
        row = replace(row, sha256=hashlib.sha256(data).hexdigest())
        try:
            with self.clock.stage("decode"):
                image = decode(data, self.decoding)
        except DecodingError as error:
            return _failed(Work(planned, row), "failed_to_decode", error.code, str(error))
        row = replace(row, width=image.width, height=image.height, orientation=image.orientation)
        work = Work(planned, row, image, data=data if self.config.pictures.needs_photograph else None)
        return work if self.priors is None else self._with_prior(work)

    def _with_prior(self, work: Work) -> Work:
        assert work.image and self.priors
        try:
            with self.clock.stage("read"):
                prior = self.priors.read(work.planned.input)
        except ReadingError as error:
            return _failed(work, "failed_to_read", error.code, str(error))
        except DecodingError as error:
            return _failed(work, "failed_to_decode", error.code, str(error))
        return replace(work, image=replace(work.image, prior=prior))

    def _late(self, planned: PlannedInput) -> Work:
        row = Row(planned.key, planned.input.place, planned.input.output)
        message = f"not read and decoded within {self.config.timeout:g} seconds"
        return _failed(Work(planned, row), "failed_to_decode", "timeout", message)

    def _descend(self, works: list[Work]) -> tuple[Batch, Any]:
        batch = _stacked(works, self.decoding, self.priors is not None)
        with self.clock.stage("descent"):
            return batch, self.method.compute(batch.pixels if batch.priors is None else batch.priors)

    def _finish(self, descended: tuple[Batch, Any]) -> list[Work]:
        batch, computed = descended
        names = [work.planned.input.output for work in batch.works if work.image]
        images, frames = batch.pixels, [work.image.frame for work in batch.works if work.image]
        with self.clock.stage("post"):
            found, shown = within_frames(self.method.detections(computed, images), images, frames)
        if self.promoter and batch.promoter_pixels is not None:
            images = batch.promoter_pixels
            with self.clock.stage("promote"):
                found, shown = self.promoter.promoted(found, images), images
        with self.clock.stage("post"):
            found = self.segmenter.segmented(judged(found, shown), shown, names)
        following = iter(found)
        return [self._found(work, next(following)) if work.image else work for work in batch.works]

    def _found(self, work: Work, detection: Detection | Failure | None) -> Work:
        if detection is None:
            return _failed(work, "failed_to_descend", "diverged", DIVERGED)
        if isinstance(detection, Failure):
            return _failed(work, detection.status, detection.code, detection.message)
        assert work.image
        mask = object_mask(detection, self.config.pictures.threshold)
        there = marked(mask, work.image.width, work.image.height)
        row = replace(
            work.row,
            target=detection.target,
            label=None if detection.label is None else detection.target,
            label_name=detection.label,
            score=detection.score,
            raw_max=detection.magnitude,
            map_mean=float(detection.saliency.mean() / 255),
            mask_area=None if detection.mask is None else float(detection.mask.mean()),
            box=there.box,
            object_share=there.share,
            objectness=detection.objectness,
            has_object=detection.has_object,
        )
        return replace(work, row=row, image=None, detection=detection)

    def _encode(self, work: Work, sink: Sink) -> "Encoded":
        row, detection = work.row, work.detection
        if work.carried:
            return Encoded(row, work.carried.stored, is_carried=True)
        if detection is None or not row.width or not row.height:
            return Encoded(row, None)
        with self.clock.stage("encode"):
            picture = Picture(detection, row.width, row.height, self.config.pictures, row.box, work.data, self.decoding)
            stored = sink.encode(picture)
            wanted = self.config.rows_with
            columns = object_columns(picture.object_mask(), wanted) if wanted else {}
        sha256 = hashlib.sha256(stored.mask).hexdigest() if stored.mask else None
        digests = {"map_sha256": hashlib.sha256(stored.saliency).hexdigest(), "mask_sha256": sha256}
        return Encoded(replace(row, **digests, **columns), stored)

    def _store(self, encoded: "Encoded", sink: Sink, journal: Journal | None) -> Row:
        row, stored = encoded.row, encoded.stored
        with self.clock.stage("write"):
            if encoded.is_carried:
                self._carried += 1
                _writing(sink.keep, row, stored)
                return row
            try:
                _writing(sink.add, row, stored)
            except UnstorableError as error:
                row, stored = row.failed("failed_to_store", error.code, str(error)), None
                _writing(sink.add, row, stored)
            if journal and row.status == SUCCESS:
                _writing(journal.add, row, stored)
        return row


@dataclass(frozen=True)
class Encoded:
    """A finished image: its row and its map as it is stored. is_carried: both come from an earlier run."""

    row: Row
    stored: Stored | None
    is_carried: bool = False


def _stacked(works: list[Work], config: DecodingConfig, with_priors: bool) -> Batch:
    images = [work.image for work in works if work.image]

    def stack(arrays: list[Any], *shape: int) -> np.ndarray:
        return np.stack(arrays) if arrays else np.zeros((0, *shape), np.uint8)

    size, fine = config.size, config.promoter_size
    return Batch(
        works,
        stack([image.pixels for image in images], size, size, 3),
        stack([image.promoter_pixels for image in images], fine, fine, 3) if fine else None,
        stack([image.prior for image in images], size, size) if with_priors else None,
    )


def _rounded(info: ModelInfo) -> str:
    return "" if info.precision == "fp32" else f" in {info.precision}"


def _failed(work: Work, status: str, code: str, message: str) -> Work:
    return replace(work, row=work.row.failed(status, code, message), image=None)


def _writing(action: Callable[..., Any], *arguments: Any) -> Any:
    """Call what writes results; what the disk says against it becomes an `OutputError`."""
    try:
        return action(*arguments)
    except OSError as error:
        raise OutputError(f"results cannot be written: {error}") from error
