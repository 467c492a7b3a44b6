"""Telling whether the inputs of a run are still the same, in a few bytes an input."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..inputs.input import Input
from ..workers.pipeline import batched
from .identities import Measured, Places, digest_sum, identities, measured, names, short_hashes

MODULUS = 2**256
BLOCK = 1000
"""Inputs that are measured together."""

Measure = Callable[[Iterable[tuple[Places, Any]]], Iterator[tuple[Any, Measured]]]
"""How inputs are measured: given blocks of places, each with whatever goes with it, returns that with what was found."""


def in_turn(blocks: Iterable[tuple[Places, Any]]) -> Iterator[tuple[Any, Measured]]:
    """Measure inputs here, a block when it is asked for."""
    return ((beside, measured(places)) for places, beside in blocks)


def places_of(members: Sequence[Input]) -> Places:
    """Return the places of inputs."""
    return Places(
        [os.fsencode(member.path) for member in members],
        [member.offset for member in members],
        [member.row for member in members],
    )


def fingerprint_now(inputs: Iterable[Input], measure: Measure = in_turn) -> str:
    """Return the fingerprint of inputs with the sizes that their files have now."""
    blocks = ((places_of(block), None) for block in batched(inputs, BLOCK))
    return fingerprint(found.digest for _, found in measure(blocks))


def fingerprint_then(inputs: Iterable[tuple[Input, int]]) -> str:
    """Return the fingerprint of inputs with the sizes that their files had."""
    return fingerprint(digest_sum(identities(*block)) for block in _blocks(inputs))


def fingerprint(digests: Iterable[int]) -> str:
    """Return the digest of a set of inputs, the same in whatever order they come: the sum of the digests of its members."""
    return f"{sum(digests) % MODULUS:064x}"


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
        return holds(self.new, _place_hash(member))

    def is_changed(self, member: Input) -> bool:
        """Tell whether an input was planned and has another size now."""
        return holds(self.changed, _place_hash(member))

    def _sizes_of_changed(self) -> Iterator[str]:
        for member, size in self._before():
            if self.is_changed(member):
                now = measured(places_of([member])).sizes[0]
                yield f"{member.place}: {_size(size)} then, {_size(now)} now"


def changed_inputs(
    before: Callable[[], Iterable[tuple[Input, int]]], now: Callable[[], Iterable[Input]], measure: Measure = in_turn
) -> Changes:
    """Compare planned inputs (with their sizes) and inputs as they are; holds four hashes of 8 bytes an input."""
    planned, planned_places = map(np.sort, _hashes(_blocks(before())))
    places = (places_of(block) for block in batched(now(), BLOCK))
    found = measure((block, block) for block in places)
    present, present_places = _hashes((block, sizes) for block, (sizes, _) in found)
    changed = present_places[~among(planned, present)]
    return Changes(
        new=np.unique(present_places[~among(planned_places, present_places)]),
        gone=np.unique(planned_places[~among(np.sort(present_places), planned_places)]),
        changed=np.unique(changed[among(planned_places, changed)]),
        _before=before,
        _now=now,
    )


def short_hash(value: bytes) -> int:
    """Return 8 bytes of a digest."""
    return int.from_bytes(short_hashes([value]), "little")


def hash_array(hashes: bytes | bytearray) -> np.ndarray:
    """Return hashes as `short_hashes` makes them, uint64; those of a bytearray may be sorted in place."""
    return np.frombuffer(hashes, "<u8")


def among(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return which of some hashes a sorted array holds."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    return ordered[np.searchsorted(ordered[:-1], values)] == values


def holds(ordered: np.ndarray, value: int) -> bool:
    """Tell whether a sorted array of hashes holds one."""
    return bool(among(ordered, np.array([value], np.uint64))[0])


def _blocks(inputs: Iterable[tuple[Input, int]]) -> Iterator[tuple[Places, list[int]]]:
    for block in batched(inputs, BLOCK):
        yield places_of([member for member, _ in block]), [size for _, size in block]


def _hashes(blocks: Iterable[tuple[Places, list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Return hashes of identities and of places."""
    whole, places = bytearray(), bytearray()
    for block, sizes in blocks:
        whole += short_hashes(identities(block, sizes))
        places += short_hashes(names(block))
    return hash_array(whole), hash_array(places)


def _place_hash(member: Input) -> int:
    return short_hash(os.fsencode(member.place))


def _named(hashes: np.ndarray, members: Iterable[Input]) -> Iterator[str]:
    return (member.place for member in members if holds(hashes, _place_hash(member)))


def _size(size: int) -> str:
    return "not there" if size < 0 else f"{size} bytes"


def _listed(examples: Iterable[str], most: int) -> str:
    first = list(islice(examples, most + 1))
    if not first:
        return ""
    return f" ({', '.join(first[:most])}{', ...' if len(first) > most else ''})"
