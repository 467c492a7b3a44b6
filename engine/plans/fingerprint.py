"""Telling whether the inputs of a run are still the same, in a few bytes an input."""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..inputs.input import Input, stat_size

MODULUS = 2**256


class Sizes:
    """Sizes of files as they are now; the members of an archive follow each other and ask once."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def of(self, member: Input) -> int:
        """Return the size of an input's file in bytes, -1 where there is none."""
        if self._last[0] != member.path:
            self._last = (member.path, stat_size(member.path))
        return self._last[1]


class Fingerprint:
    """A digest of a set of inputs, the same in whatever order they come: the sum of the digests of its members."""

    def __init__(self) -> None:
        self._sum = 0
        self._sizes = Sizes()

    def add(self, member: Input, size: int) -> None:
        """Add an input whose file had `size` bytes."""
        self._sum += int.from_bytes(hashlib.sha256(_identity(member, size)).digest(), "little")

    def add_now(self, member: Input) -> None:
        """Add an input with the size its file has now."""
        self.add(member, self._sizes.of(member))

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        return f"{self._sum % MODULUS:064x}"


@dataclass(frozen=True)
class Changes:
    """How inputs differ from those that were planned, each as sorted hashes of 8 bytes.

    new, gone: places that only one side has. changed: places whose file has another size, or has come, or has left.
    """

    new: np.ndarray
    gone: np.ndarray
    changed: np.ndarray
    _before: Callable[[], Iterable[tuple[Input, int]]]
    _now: Callable[[], Iterable[Input]]

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return bool(len(self.new) or len(self.gone) or len(self.changed))

    def describe(self, examples: int = 3) -> str:
        """Return the difference in words, with a few examples of each kind."""
        planned = (member for member, _ in self._before())
        kinds = [("new", self.new, self._now()), ("gone", self.gone, planned)]
        told = [
            f"{len(hashes)} {kind}{_listed(_named(hashes, of), examples)}" for kind, hashes, of in kinds if len(hashes)
        ]
        if len(self.changed):
            told.append(f"{len(self.changed)} changed{_listed(self._sizes_of_changed(), examples)}")
        return ", ".join(told) or "no difference"

    def is_new(self, member: Input) -> bool:
        """Tell whether an input was not planned."""
        return holds(self.new, place_hash(member))

    def is_changed(self, member: Input) -> bool:
        """Tell whether an input was planned and has another size now."""
        return holds(self.changed, place_hash(member))

    def _sizes_of_changed(self) -> Iterator[str]:
        sizes = Sizes()
        for member, size in self._before():
            if self.is_changed(member):
                yield f"{member.place}: {_size(size)} then, {_size(sizes.of(member))} now"


def changed_inputs(before: Callable[[], Iterable[tuple[Input, int]]], now: Callable[[], Iterable[Input]]) -> Changes:
    """Compare planned inputs (with their sizes) and inputs as they are; holds four hashes of 8 bytes an input."""
    sizes = Sizes()
    planned, planned_places = _hashes(before())
    present, present_places = _hashes((member, sizes.of(member)) for member in now())
    other = np.setdiff1d(present[:, 0], planned[:, 0])
    changed = present[np.isin(present[:, 0], other), 1]
    return Changes(
        new=np.setdiff1d(present_places, planned_places),
        gone=np.setdiff1d(planned_places, present_places),
        changed=np.intersect1d(changed, planned_places),
        _before=before,
        _now=now,
    )


def place_hash(member: Input) -> int:
    """Return 8 bytes that tell the places of inputs apart."""
    return short_hash(os.fsencode(member.place))


def short_hash(value: bytes) -> int:
    """Return 8 bytes of a digest."""
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def holds(values: np.ndarray, value: int) -> bool:
    """Tell whether a sorted array of hashes holds one."""
    place = int(np.searchsorted(values, np.uint64(value)))
    return place < len(values) and int(values[place]) == value


def _hashes(members: Iterable[tuple[Input, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return [n,2] hashes of identities and of places, and the sorted places."""
    flat = array("Q")
    for member, size in members:
        flat.append(short_hash(_identity(member, size)))
        flat.append(place_hash(member))
    pairs = np.array(flat, np.uint64).reshape(-1, 2)
    return pairs, np.unique(pairs[:, 1])


def _identity(member: Input, size: int) -> bytes:
    return os.fsencode(f"{member.place}\0{size}")


def _named(hashes: np.ndarray, members: Iterable[Input]) -> Iterator[str]:
    return (member.place for member in members if holds(hashes, place_hash(member)))


def _size(size: int) -> str:
    return "not there" if size < 0 else f"{size} bytes"


def _listed(examples: Iterable[str], most: int) -> str:
    first = list(islice(examples, most + 1))
    if not first:
        return ""
    return f" ({', '.join(first[:most])}{', ...' if len(first) > most else ''})"
