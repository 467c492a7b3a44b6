"""Who makes which shard, where several drivers share a run in a store that has no locks.

A claim is an object that is created if it is not there, and names its driver; a driver shows that it lives by an object
that it writes anew again and again. Claims save work and nothing else: two drivers that make one shard write the same
bytes, so that nothing depends on a clock, or on a store that keeps its word about conditions.
"""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ...errors import OutputError
from ..workers.daemon_threads import repeating
from .object_folder import ObjectFolder

CLAIMS = ".claims"
DRIVERS = "drivers/"
SECONDS_BETWEEN_BEATS = 10.0
SECONDS_OF_SILENCE = 60.0
"""How long a driver's object stays the same before its claims are others' to take."""


class Claims:
    """The claims of one driver."""

    def __init__(self, objects: ObjectFolder) -> None:
        self.objects = objects
        self.driver = f"{_this_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._held: set[str] = set()
        self._seen: dict[str, tuple[bytes, float]] = {}

    @contextmanager
    def living(self) -> Iterator[None]:
        """Show that this driver lives during the block; what it claims and has not let go of is free when it ends."""
        self._beat(0)
        numbers = count(1)
        try:
            with repeating(lambda: self._beat_on(next(numbers)), SECONDS_BETWEEN_BEATS):
                yield
        finally:
            with suppress(OutputError):  # others find out by the silence
                self.objects.remove([*map(_claim, self._held), _life(self.driver)])

    def take(self, what: str) -> bool:
        """Claim something, or take over the claim of a driver that is no more; False where a living one has it."""
        if what in self._held or self._created(what):
            return True
        owner = self._owner(what)
        if owner is not None and self._lives(owner):
            return False
        self.objects.remove([_claim(what)])
        return self._created(what)

    def release(self, what: str) -> None:
        """Let go of a claim."""
        if what in self._held:
            self._held.discard(what)
            self.objects.remove([_claim(what)])

    def sweep(self) -> None:
        """Remove what drivers have left that are no more."""
        for name in self.objects.below(CLAIMS):
            what = name.removeprefix(f"{CLAIMS}/")
            owner = what.removeprefix(DRIVERS) if what.startswith(DRIVERS) else self._owner(what)
            if owner != self.driver and not (owner and self._lives(owner)):
                self.objects.remove([name])

    def _created(self, what: str) -> bool:
        created = self.objects.create(_claim(what), self.driver.encode())
        if created:
            self._held.add(what)
        return created

    def _owner(self, what: str) -> str | None:
        owner = self.objects.get(_claim(what))
        return None if owner is None else owner.decode(errors="replace")

    def _lives(self, driver: str) -> bool:
        """Tell whether a driver lives: one of this machine by its process, any other by its beats, seen by our clock."""
        machine, _, rest = driver.partition("-")
        process = rest.partition("-")[0]
        if machine == _this_machine() and process.isdigit() and not Path(f"/proc/{process}").exists():
            return False
        beat = self.objects.get(_life(driver))
        if beat is None:
            return False
        seen, since = self._seen.get(driver, (None, 0.0))
        if seen != beat:
            self._seen[driver] = beat, time.monotonic()
            return True
        return time.monotonic() - since < SECONDS_OF_SILENCE

    def _beat(self, number: int) -> None:
        self.objects.put(_life(self.driver), str(number).encode())

    def _beat_on(self, number: int) -> None:
        with suppress(OutputError):  # the next beat may get through
            self._beat(number)


def _claim(what: str) -> str:
    return f"{CLAIMS}/{what}"


def _life(driver: str) -> str:
    return f"{CLAIMS}/{DRIVERS}{driver}"


def _this_machine() -> str:
    """Return a word for this machine since its start; containers have names of their own."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text().strip()[:8] if boot.exists() else ""
    return f"{socket.gethostname()}.{started}".replace("-", "_").replace("/", "_")
