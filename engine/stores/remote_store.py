"""Results in an object store: made in a folder of this machine, written to the store shard by shard.

A shard's files get their final names at once, its done-mark last, so that nothing is ever renamed; what no done-mark speaks
of is not in force. Several drivers may share a run, see `Claims`.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import UnseeError
from ...files import write_bytes
from ..outputs.done_marks import done_shards, is_done
from ..outputs.layout import DONE_MARK, PLAN_FILE, PLAN_ROWS_FILE, ROWS_FILE, done_mark, rows_path
from ..outputs.plan import Plan, ShardJob, read_plan
from ..outputs.rows import SUCCESS
from ..outputs.sink import stored_rows
from .object_folder import ObjectFolder
from .shard_claims import CLAIMS, Claims
from .staging import clear, staging_folder
from .store import Claimed, OutdatedPlanError, Part, Store

LOG = logging.getLogger("unsee")
MARK = re.compile(r"(\d{5,})_stats\.json")
PLAN_CLAIM = "plan"
SECONDS_BETWEEN_LOOKS = 0.5
ALIASES = {"s3a": "s3", "gcs": "gs"}
UNSENT = ("done-mark", "journal")
"""Files of a shard that are not among its results: the one goes last, the other nowhere."""


class RemoteStore(Store):
    """A place that fsspec opens. Everything that asks the store raises `OutputError` where it refuses."""

    is_remote = True

    def __init__(self, url: str) -> None:
        self.objects = ObjectFolder(url)
        self._brought: bytes | None = None
        self._stay: ExitStack | None = None
        self._claims: Claims | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the driver's claims to the driver."""
        return {**vars(self), "_claims": None, "_stay": None}

    @property
    def name(self) -> str:
        """The URL, without what lets somebody in."""
        return self.objects.shown

    @property
    def claims(self) -> Claims:
        """The claims of this driver, inside `held`."""
        assert self._claims is not None
        return self._claims

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `Store.held`: the folder is one of this machine's cache, and claims are made while it is held."""
        self._claims = Claims(self.objects)
        with staging_folder(self.objects.url) as self.folder, self._told_by_name(), self._claims.living():
            yield

    @contextmanager
    def opened(self, part: Part = "marks") -> Iterator[None]:
        """See `Store.opened`: the folder is a temporary one."""
        with TemporaryDirectory(prefix="unsee-") as folder, self._told_by_name():
            self.folder = Path(folder)
            self._bring_plan_files(self.objects.get(PLAN_FILE))
            self.bring_marks()
            if part == "rows":
                self._bring_rows()
            if part == "everything":
                plan = read_plan(self.folder)
                for shard in done_shards(self.folder, plan.shards):
                    self.bring_shard(plan, shard)
            yield

    def elsewhere(self) -> Store:
        """See `Store.elsewhere`: one that takes a folder of the machine it finds itself on."""
        return RemoteStore(self.objects.url)

    def plan(self) -> Plan:
        """See `Store.plan`."""
        if not hasattr(self, "folder"):
            self._stay = ExitStack()  # until this process ends
            self.folder = self._stay.enter_context(staging_folder(self.objects.url))
            self.bring_plan(with_rows=False)
        return read_plan(self.folder)

    def bring_plan(self, with_rows: bool) -> None:
        """See `Store.bring_plan`; first what a killed process has finished here and not published is published."""
        self._brought = self.objects.get(PLAN_FILE)
        self._bring_plan_files(self._brought)
        names = set(self.objects.names())
        if self._brought is None:
            self._refuse_strangers(names)
            return
        with suppress(UnseeError):  # of a damaged plan, which the run speaks of
            self._settle(read_plan(self.folder), names)
        self.bring_marks()
        if with_rows:
            self._bring_rows()

    def bring_marks(self) -> None:
        """See `Store.bring_marks`."""
        marks = [name for name in self.objects.names() if MARK.fullmatch(name)]
        self.objects.download(self.folder, [name for name in marks if not (self.folder / name).exists()])

    def refuse_inputs(self, places: Iterable[str]) -> None:
        """See `Store.refuse_inputs`; places: sources, or the planned inputs."""
        mine = _folder(self.objects.url)
        for place in places:
            given = _folder(place)
            if given.startswith(mine):
                raise UnseeError(f"{place} is an input and lies in {self.name}: choose another output folder")
            if mine.startswith(given):
                raise UnseeError(f"{self.name} lies in the input folder {place}: choose an output folder outside it")

    def publish_plan(self) -> None:
        """See `Store.publish_plan`: the rows first, then plan.json, which puts them in force."""
        data = (self.folder / PLAN_FILE).read_bytes()
        if data == self._brought:
            return
        while not self.claims.take(PLAN_CLAIM):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            if self.objects.get(PLAN_FILE) != self._brought:
                raise OutdatedPlanError(f"{self.name}: another run has planned it meanwhile; give the command again")
            self.objects.upload(self.folder, [PLAN_ROWS_FILE])
            self.objects.upload(self.folder, [PLAN_FILE])
        finally:
            self.claims.release(PLAN_CLAIM)
        self._brought = data

    def forget(self, names: Callable[[], Iterable[str]]) -> None:
        """See `Store.forget`: done-marks first and the plan last, so that a killed `forget` is done again."""
        made = list(names())
        marks = [name for name in made if MARK.fullmatch(name)]
        plan = [PLAN_ROWS_FILE, PLAN_FILE]
        for group in (marks, sorted(set(made) - set(marks) - set(plan)), *([name] for name in plan)):
            self.objects.remove(group)
        self._brought = None

    def rows(self, shard: int) -> Path:
        """See `Store.rows`: they are brought when they are asked for."""
        path = rows_path(self.folder, shard)
        if not path.exists():
            self.objects.download(self.folder, [path.name])
        return path

    def bring_shard(self, plan: Plan, shard: int) -> None:
        """See `Store.bring_shard`."""
        of_shard = [name for what, name in plan.files.of_shard(shard) if what != "journal"]
        self.objects.download(self.folder, of_shard)
        with suppress(UnseeError):  # without rows there is nothing to say of images
            self.objects.download(self.folder, _maps(plan, shard))

    def drop_shard(self, plan: Plan, shard: int) -> None:
        """See `Store.drop_shard`."""
        outputs = [planned.input.output for planned in plan.rows(shard)]
        names = [name for what, name in plan.files.of_shard(shard) if what not in UNSENT]
        names += [name for output in outputs for _, name in plan.files.of_image(output)]
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        for parent in sorted({parent for name in names for parent in Path(name).parents if parent.name}, reverse=True):
            with suppress(OSError):  # others' maps are in it
                (self.folder / parent).rmdir()

    def publish(self, plan: Plan, shard: int) -> None:
        """See `Store.publish`; what was published before is out of force meanwhile."""
        mark = DONE_MARK.format(shard=shard)
        of_shard = [name for what, name in plan.files.of_shard(shard) if what not in UNSENT]
        self.objects.remove([mark])
        self.objects.upload(self.folder, [name for name in of_shard if (self.folder / name).exists()])
        self.objects.upload(self.folder, _maps(plan, shard))
        self.objects.upload(self.folder, [mark])
        self.drop_shard(plan, shard)

    def claim(self, job: ShardJob) -> Claimed:
        """See `Store.claim`; claims are kept to the end of the run."""
        if job.retry is None and self.objects.exists(DONE_MARK.format(shard=job.shard)):
            return "done"
        return "ours" if self.claims.take(f"{job.shard:05d}") else "another's"

    def publish_file(self, path: Path) -> str:
        """See `Store.publish_file`."""
        self.objects.upload(path.parent, [path.name])
        return f"{self.name}/{path.name}"

    def close(self) -> None:
        """See `Store.close`."""
        clear(self.folder)
        self.claims.sweep()

    def _bring_plan_files(self, data: bytes | None) -> None:
        """Have the plan of the store in the folder; what belongs to another one is removed."""
        path = self.folder / PLAN_FILE
        if data is not None and path.exists() and path.read_bytes() == data:
            return
        clear(self.folder)
        if data is not None:
            self.objects.download(self.folder, [PLAN_ROWS_FILE])
            write_bytes(path, data)

    def _bring_rows(self) -> None:
        names = set(self.objects.names())
        done = [int(found[1]) for name in names if (found := MARK.fullmatch(name))]
        self.objects.download(self.folder, [ROWS_FILE.format(shard=shard) for shard in done])

    def _settle(self, plan: Plan, names: set[str]) -> None:
        """Publish what is finished here and nowhere else; of other finished shards the store's done-marks count."""
        for shard in list(done_shards(self.folder, plan.shards)):
            mark = done_mark(self.folder, shard)
            if mark.name not in names and _is_whole(plan, shard):
                LOG.info("shard %05d was finished and not published: it is published now", shard)
                self.publish(plan, shard)
                continue
            mark.unlink()
            self.drop_shard(plan, shard)

    def _refuse_strangers(self, names: set[str]) -> None:
        strange = sorted(names - {CLAIMS, PLAN_ROWS_FILE})
        if strange:
            raise UnseeError(
                f"{self.name} holds {strange[0]}, which no run made: choose another output folder, or remove it"
            )

    @contextmanager
    def _told_by_name(self) -> Iterator[None]:
        """Let messages speak of the URL instead of the folder of this machine."""
        try:
            yield
        except UnseeError as error:
            error.args = tuple(str(part).replace(str(self.folder), self.name) for part in error.args)
            raise


def _folder(place: str) -> str:
    """Return a URL as a folder, in the one spelling that file systems' aliases have; of a pattern what is fixed of it."""
    protocol, _, path = place.partition("://")
    fixed = path.partition("**")[0].rpartition("/")[0] if "**" in path else path
    return f"{ALIASES.get(protocol, protocol)}://{fixed.strip('/')}/"


def _maps(plan: Plan, shard: int) -> list[str]:
    """Return the names of the files of a finished shard's images; raises `UnseeError` where its rows are not here."""
    if not any(plan.files.of_image("")):
        return []
    found = zip(plan.rows(shard), stored_rows(plan.folder, shard), strict=True)  # whose names are not always printable
    return [
        name
        for planned, row in found
        if row.status == SUCCESS
        for what, name in plan.files.of_image(planned.input.output)
        if what != "mask" or row.mask_sha256
    ]


def _is_whole(plan: Plan, shard: int) -> bool:
    """Tell whether every file of a finished shard is in the plan's folder."""
    with suppress(UnseeError, ValueError):
        rows = rows_path(plan.folder, shard)
        archive = plan.files.sink.archive.format(shard=shard)
        names = [rows.name, archive, *_maps(plan, shard)]
        return is_done(plan.folder, shard) and all((plan.folder / name).exists() for name in names)
    return False
