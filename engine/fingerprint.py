"""Telling whether the inputs of a run are still the same, in 8 bytes an input at the most."""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from .inputs import Input, stat_size

MODULUS = 2**256


class Fingerprint:
    """A digest of a set of inputs, the same in whatever order they come: the sum of the digests of its members."""

    def __init__(self) -> None:
        self._sum = 0
        self._last = ("", -1)

    def add(self, member: Input, size: int) -> None:
        """Add an input whose file had `size` bytes."""
        self._sum += int.from_bytes(hashlib.sha256(_identity(member, size)).digest(), "little")

    def add_now(self, member: Input) -> None:
        """Add an input with the size its file has now."""
        if self._last[0] != member.path:  # the members of an archive follow each other
            self._last = (member.path, stat_size(member.path))
        self.add(member, self._last[1])

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        return f"{self._sum % MODULUS:064x}"


@dataclass(frozen=True)
class Changes:
    """How two sets of inputs differ: counts and a few examples of what is new and what is gone (or has another size)."""

    new: int
    gone: int
    new_examples: list[str]
    gone_examples: list[str]
    _known: np.ndarray

    def describe(self, gone_only: bool = False) -> str:
        """Return the difference in words."""
        gone = f"{self.gone} gone or changed{_listed(self.gone_examples)}"
        return gone if gone_only else f"{self.new} new{_listed(self.new_examples)}, {gone}"

    def only_new(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """Yield the inputs that the first set lacks."""
        return (member for member in inputs if not _holds(self._known, _hash(member, stat_size(member.path))))


def changed_inputs(
    before: Callable[[], Iterable[tuple[Input, int]]], now: Callable[[], Iterable[Input]], examples: int = 3
) -> Changes:
    """Compare planned inputs (with their sizes) and inputs as they are; holds two hashes of 8 bytes an input."""
    known = _sorted(_hash(member, size) for member, size in before())
    present = _sorted(_hash(member, stat_size(member.path)) for member in now())
    new, gone = np.setdiff1d(present, known), np.setdiff1d(known, present)
    came = (member.place for member in now() if _holds(new, _hash(member, stat_size(member.path))))
    went = (member.place for member, size in before() if _holds(gone, _hash(member, size)))
    return Changes(len(new), len(gone), [*islice(came, examples)], [*islice(went, examples)], known)


def _sorted(hashes: Iterable[int]) -> np.ndarray:
    return np.sort(np.array(array("Q", hashes), np.uint64))


def output_hash(member: Input) -> int:
    """Return 8 bytes that tell outputs apart."""
    return _hash_of(os.fsencode(member.output))


def _identity(member: Input, size: int) -> bytes:
    return os.fsencode(f"{member.place}\0{size}")


def _hash(member: Input, size: int) -> int:
    return _hash_of(_identity(member, size))


def _hash_of(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def _holds(values: np.ndarray, value: int) -> bool:
    place = int(np.searchsorted(values, np.uint64(value)))
    return place < len(values) and int(values[place]) == value


def _listed(examples: list[str]) -> str:
    return f" ({', '.join(examples)}, ...)" if examples else ""
