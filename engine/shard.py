"""Shards from start to done-mark: read, decode, descend, post-process, encode, write, overlapped across shards."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from ..errors import BadImageError, DecodingError
from ..export.runtime.model_info import ModelInfo
from ..threads import usable_threads
from .decoding.decoded_image import DecodedImage, DecodingConfig
from .decoding.decoding import decode, on_grid
from .decoding.jpeg_batches import Jpeg, JpegBatches
from .decoding.nvjpeg import NvJpeg
from .inputs.input import ReadingError, read
from .methods.detection import DIVERGED, Detection, Failure, within_frames
from .methods.method import Method, noise
from .methods.networks import Promoter
from .outputs.plan import Plan, PlannedInput, ShardJob
from .outputs.rows import SUCCESS, Row, Stored
from .plans.earlier_shard import Carried
from .plans.priors import Priors
from .remote.opening import TIMEOUT
from .run_config import RunConfig, runs_image_by_image
from .segmentation.object_columns import object_columns
from .segmentation.objectness import judged
from .segmentation.objects import marked, object_mask
from .segmentation.segmenter import Segmenter
from .segmentation.stored_picture import Picture
from .shards.open_shard import Finished, OpenShard
from .stores.store import Store
from .workers.daemon_threads import Workers
from .workers.pipeline import SharedStage, StageClock, batched, made_ahead, ordered_map, ordered_map_within

Encoded: TypeAlias = tuple["Work", Stored | None]
"""A finished image, of which nothing but its row is left, and its map as it is stored."""
AHEAD = 2
"""Batches that may wait before a stage: a slow one there does not hold up the descent."""
MOST_FINISHING = 2
"""Shards that wait for their results to be made final, or are about it; where there are more, the descent waits."""


@dataclass(frozen=True)
class Work:
    """An input on its way through the stages: its row so far, and what the last stage made of it.

    is_last: of its shard. jpeg: the file, where a GPU decodes it with its batch. carried: its row, and its map where it
    succeeded, are taken over from an earlier run. data: the file, where the picture that is stored shows it.
    """

    shard: OpenShard
    planned: PlannedInput
    row: Row
    is_last: bool
    jpeg: Jpeg | None = None
    image: DecodedImage | None = None
    detection: Detection | None = None
    carried: Carried | None = None
    data: bytes | None = None


@dataclass(frozen=True)
class Batch:
    """Images of one shard on their way through the models, those of `works` that could be read.

    pixels: uint8 [B,S,S,3]. promoter_pixels: uint8 [B,P,P,3], where maps are promoted. priors: uint8 [B,S,S], the given
    maps, where there are any.
    """

    works: list[Work]
    pixels: np.ndarray
    promoter_pixels: np.ndarray | None
    priors: np.ndarray | None

    @property
    def clock(self) -> StageClock:
        """The clock of its shard."""
        return self.works[0].shard.clock


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
        self.jpegs = JpegBatches(self.decoding, NvJpeg(self.info.device)) if config.decoder == "nvjpeg" else None
        self.priors = Priors(config.prior, self.decoding) if config.prior else None
        self._descents = SharedStage("descent")
        self._last_end = 0.0

    @property
    def info(self) -> ModelInfo:
        """What runs where; the model's identity names the promoter too."""
        info = self.method.info
        if self.promoter is None:
            return info
        promoter = self.promoter.info
        runs = f"{promoter.backend} on {promoter.device.split(':')[0]}{_rounded(promoter)}"
        return replace(info, model_id=f"{info.model_id}, promoted by {promoter.model_id} ({runs})")

    def warm_up(self) -> None:
        """Do once, on noise, what else the first images would wait for: kernels are compiled, those that resize too."""
        self.method.warm_up()
        pixels = on_grid(Image.fromarray(noise(self.decoding.size + 1)[0]), self.decoding).pixels
        Detection(pixels[..., 0], None).resized(1, 1)

    def close(self) -> None:
        """Give back what the models hold."""
        self.method.close()
        for other in (self.promoter, self.jpegs):
            if other is not None:
                other.close()

    def run(
        self,
        plan: Plan,
        jobs: Iterable[ShardJob],
        on_row: Callable[[Row], None] | None = None,
        home: Store | None = None,
    ) -> Generator[Finished, None, None]:
        """Process shards of a plan one after another, and yield each once its maps, rows and done-mark are there.

        jobs: asked for the next one when all inputs of the last are being read, so that a shard is read while the one
        before it is finished. on_row is called with each row as its image is finished, in the order of the plan. home:
        where the results belong, the plan's folder where None. Raises `OutputError` where the results cannot be written,
        `BadImageError` on a failed image where the configuration says so; shards that are not done then keep their
        journals.
        """
        unfinished: deque[OpenShard] = deque()
        try:
            with closing(self._finished(self._begun(plan, jobs, unfinished, home), on_row)) as all_finished:
                for finished in all_finished:
                    unfinished.popleft()
                    yield finished
        except BaseException:
            for shard in list(unfinished):  # a thread that is not stopped yet may open one more
                if not shard.is_finishing:
                    shard.abort()
            raise

    def _begun(
        self, plan: Plan, jobs: Iterable[ShardJob], unfinished: deque[OpenShard], home: Store | None
    ) -> Iterator[Work]:
        """Open shard after shard, and yield their inputs."""
        home = home or Store(plan.folder)
        size = self.decoding.promoter_size or self.decoding.size
        for job in jobs:
            shard = OpenShard(plan, job, self.config, size, home)
            unfinished.append(shard)
            last = shard.inputs[-1]
            for planned in shard.inputs:
                row = Row(planned.key, planned.input.place, planned.input.output)
                yield Work(shard, planned, row, planned is last)

    def _finished(self, works: Iterable[Work], on_row: Callable[[Row], None] | None) -> Generator[Finished, None, None]:
        """Run everything; shards are made final in a thread of its own, while those after them are run."""
        finishing: deque[Future[Finished]] = deque()
        with Workers(1, "finish") as finishers, closing(self._stored(works)) as stored:
            for work in chain.from_iterable(stored):
                if on_row:
                    on_row(work.row)
                self._stop_at_failure(work.row)
                if work.is_last:
                    finishing.append(finishers.submit(self._made_final, work.shard))
                while finishing and (len(finishing) > MOST_FINISHING or finishing[0].done()):
                    yield finishing.popleft().result()
            while finishing:
                yield finishing.popleft().result()

    def _made_final(self, shard: OpenShard) -> Finished:
        """Make a shard's results final: in a thread of its own, in the plan's order, while others descend."""
        finished = shard.finish(self._last_end)
        self._last_end = finished.stats["end_time"]
        return finished

    def _stop_at_failure(self, row: Row) -> None:
        if self.config.on_error == "raise" and row.status != SUCCESS:
            raise BadImageError(f"{row.path}: {row.status}: {row.error_message}")

    def _stored(self, works: Iterable[Work]) -> Generator[list[Work], None, None]:
        """Chain the stages; but for a descent that takes one batch at a time, all of them run in pools.

        Between two batches the calling thread hands on whole batches and does nothing else.
        """
        config = self.config
        cleaner_count = 1 if self.promoter else config.worker_count  # its runner takes one call at a time
        with (
            Workers(config.worker_count, "decode") as decoders,
            Workers(1, "batch") as batchers,
            Workers(self.method.at_once, "descend") as descenders,
            Workers(config.worker_count, "encode") as encoders,
            Workers(cleaner_count, "post") as cleaners,
            Workers(1, "write") as writers,
        ):
            batches = made_ahead(batchers, self._batches(works, decoders), AHEAD)
            clean = partial(self._clean_and_encode, encoders=encoders)
            cleaned = ordered_map(cleaners, clean, self._descended(batches, descenders), cleaner_count + AHEAD)
            yield from ordered_map(writers, self._store, cleaned, 1 + AHEAD)

    def _batches(self, works: Iterable[Work], decoders: Workers) -> Iterator[Batch]:
        """Read images into batches that end with their shard: for some runtimes the images of a batch decide its results."""
        size = self.method.batch_size
        loaded = ordered_map_within(decoders, self._load, works, 2 * size, self.config.timeout, self._late)
        for batch in batched(loaded, size, self._first_batch(), attrgetter("is_last")):
            yield self._stacked(self._with_jpegs(batch, decoders))

    def _stacked(self, works: list[Work]) -> Batch:
        images = [work.image for work in works if work.image]
        count, size, fine = len(images), self.decoding.size, self.decoding.promoter_size
        promoter_pixels = [one.promoter_pixels for one in images if one.promoter_pixels is not None]
        priors = [one.prior for one in images if one.prior is not None]
        return Batch(
            works,
            _stack([one.pixels for one in images], self.method.batch_memory((count, size, size, 3))),
            _stack(promoter_pixels, np.empty((count, fine, fine, 3), np.uint8)) if fine else None,
            _stack(priors, np.empty((count, size, size), np.uint8)) if self.priors else None,
        )

    def _first_batch(self) -> int | None:
        """Return how many images are enough for the first batch: one a core, where the size decides no result."""
        info = self.method.info
        return usable_threads() if runs_image_by_image(info.backend, info.device) else None

    def _load(self, work: Work) -> Work:
        carried = work.shard.earlier.kept(work.planned)
        if carried:
            return replace(work, row=carried.row, carried=carried)
        try:
            with work.shard.clock.stage("read"):
                data = read(work.planned.input, self.config.reading)
        except ReadingError as error:
            if error.code == TIMEOUT:
                return self._late(work)
            return _failed(work, "failed_to_read", error.code, str(error))
        kept = data if self.config.pictures.needs_photograph else None
        work = replace(work, row=replace(work.row, sha256=hashlib.sha256(data).hexdigest()), data=kept)
        if self.jpegs:
            with work.shard.clock.stage("decode"):
                jpeg = self.jpegs.taken(data)
            if jpeg:
                return replace(work, jpeg=jpeg)
        work = self._decode(work, data)
        return work if self.priors is None or work.image is None else self._with_prior(work)

    def _decode(self, work: Work, data: bytes) -> Work:
        try:
            with work.shard.clock.stage("decode"):
                return _decoded(work, decode(data, self.decoding))
        except DecodingError as error:
            return _undecoded(work, error)

    def _with_jpegs(self, batch: list[Work], decoders: Workers) -> list[Work]:
        """Decode what a GPU is to decode of a batch, and on the CPU what it refuses."""
        given = [work.jpeg for work in batch if work.jpeg]
        if not given:
            return batch
        assert self.jpegs
        with batch[0].shard.clock.stage("decode"):
            found = iter(self.jpegs.decoded(given))
        works = [_decoded(work, next(found)) if work.jpeg else work for work in batch]
        refused = (work for work in works if work.jpeg)
        here = ordered_map_within(decoders, self._decode_refused, refused, len(batch), self.config.timeout, self._late)
        return [next(here) if work.jpeg else work for work in works]

    def _decode_refused(self, work: Work) -> Work:
        assert work.jpeg
        return self._decode(work, work.jpeg.data)

    def _with_prior(self, work: Work) -> Work:
        assert work.image and self.priors
        try:
            with work.shard.clock.stage("read"):
                prior = self.priors.read(work.planned.input)
        except ReadingError as error:
            return _failed(work, "failed_to_read", error.code, str(error))
        except DecodingError as error:
            return _undecoded(work, error)
        return replace(work, image=replace(work.image, prior=prior))

    def _late(self, work: Work) -> Work:
        message = f"not read and decoded within {self.config.timeout:g} seconds"
        return _failed(work, "failed_to_decode", "timeout", message)

    def _descended(self, batches: Iterator[Batch], descenders: Workers) -> Iterator[tuple[Batch, Any]]:
        """Run the models; a GPU works for the calling thread only, and is not kept waiting by it."""
        if self.method.at_once == 1:
            return map(self._descend, batches)
        return ordered_map(descenders, self._descend, batches, self.method.at_once)

    def _descend(self, batch: Batch) -> tuple[Batch, Any]:
        with self._descents.on(batch.clock):
            return batch, self.method.compute(batch.pixels if batch.priors is None else batch.priors)

    def _clean_and_encode(self, descended: tuple[Batch, Any], encoders: Workers) -> list[Encoded]:
        return list(encoders.map(self._encode, self._clean(*descended)))

    def _clean(self, batch: Batch, computed: Any) -> list[Work]:
        names = [work.planned.input.output for work in batch.works if work.image]
        images, frames = batch.pixels, [work.image.frame for work in batch.works if work.image]
        with batch.clock.stage("post"):
            found, shown = within_frames(self.method.detections(computed, images), images, frames)
        if self.promoter and batch.promoter_pixels is not None:
            images = batch.promoter_pixels
            with batch.clock.stage("promote"):
                found, shown = self.promoter.promoted(found, images), images
        with batch.clock.stage("post"):
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

    def _encode(self, work: Work) -> Encoded:
        row, detection = work.row, work.detection
        if work.carried:
            return work, work.carried.stored
        if detection is None or not row.width or not row.height:
            return work, None
        with work.shard.clock.stage("encode"):
            picture = Picture(detection, row.width, row.height, self.config.pictures, row.box, work.data, self.decoding)
            stored = work.shard.encode(picture)
            wanted = self.config.rows_with
            columns = object_columns(picture.object_mask(), wanted) if wanted else {}
        sha256 = hashlib.sha256(stored.mask).hexdigest() if stored.mask else None
        digests = {"map_sha256": hashlib.sha256(stored.saliency).hexdigest(), "mask_sha256": sha256}
        return replace(work, row=replace(row, **digests, **columns), detection=None, data=None), stored

    def _store(self, batch: list[Encoded]) -> list[Work]:
        return [
            replace(work, row=work.shard.store(work.row, stored, work.carried is not None)) for work, stored in batch
        ]


def _stack(images: list[np.ndarray], memory: np.ndarray) -> np.ndarray:
    return np.stack(images, out=memory) if images else memory


def _rounded(info: ModelInfo) -> str:
    return "" if info.precision == "fp32" else f" in {info.precision}"


def _decoded(work: Work, image: DecodedImage | DecodingError | None) -> Work:
    """Return the input with its image, or failed; as it is where there is neither."""
    if image is None:
        return work
    if isinstance(image, DecodingError):
        return _undecoded(work, image)
    row = replace(work.row, width=image.width, height=image.height, orientation=image.orientation)
    return replace(work, row=row, image=image, jpeg=None)


def _undecoded(work: Work, error: DecodingError) -> Work:
    return _failed(work, "failed_to_decode", error.code, str(error))


def _failed(work: Work, status: str, code: str, message: str) -> Work:
    return replace(work, row=work.row.failed(status, code, message), image=None, jpeg=None, data=None)
