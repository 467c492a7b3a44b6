"""A part of a run's inputs, chosen without coordination: machines that see the same inputs choose different ones."""

import re
from dataclasses import dataclass

from .errors import UnseeError

BLOCK = 1000
"""Images that follow one another and fall to one part, where they lie in no archive."""
FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True)
class Part:
    """One of `of` parts; number: from 1. Archives fall to the parts in turn, and so do blocks of other images."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> "Part":
        """Return the part that is written as 3/16; `UnseeError` on anything else."""
        found = FORM.fullmatch(text)
        number, of = (int(value) for value in found.groups()) if found else (0, 0)
        if not 1 <= number <= of:
            raise UnseeError(f"a part is written as 3/16, of 1/16 to 16/16, got {text!r}")
        return cls(number, of)

    def holds(self, place: int) -> bool:
        """Say whether what has a place, from 0, among its like is in this part."""
        return place % self.of == self.number - 1


class PartChoice:
    """Counts what is met in order, and says what of it is in a part. All of it is where part is None."""

    def __init__(self, part: Part | None) -> None:
        self.part = part
        self._archives = self._images = 0

    def next_archive(self) -> bool:
        """Say whether the archive that is met now is in the part."""
        self._archives += 1
        return self.part is None or self.part.holds(self._archives - 1)

    def next_image(self) -> bool:
        """Say whether the image that is met now, in no archive, is in the part."""
        self._images += 1
        return self.part is None or self.part.holds((self._images - 1) // BLOCK)
