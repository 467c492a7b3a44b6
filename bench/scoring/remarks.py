"""What the reader of scores must know besides the numbers: files left out, and files that were read with a doubt."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...names import printable

FIRST_NAMES = 3
"""How many names a remark keeps of all that it is about."""


@dataclass(frozen=True)
class Remark:
    """Something that holds of `count` files, of which `first` are some names; doubtful: the scores may be wrong for it."""

    text: str
    count: int
    first: tuple[str, ...] = ()
    doubtful: bool = False

    def line(self) -> str:
        """Return the remark as one line."""
        names = ", ".join(self.first) + (", ..." if self.count > len(self.first) else "")
        return f"{'warning' if self.doubtful else 'note'}: {self.text}: {self.count} ({names})"


@dataclass
class Tally:
    """Counts the files that something holds of, and keeps the first names; memory does not grow with the files."""

    counts: dict[tuple[str, bool], int] = field(default_factory=dict)
    names: dict[tuple[str, bool], list[str]] = field(default_factory=dict)

    def add(self, text: str, name: str, doubtful: bool = False) -> None:
        """Count one file."""
        what = text, doubtful
        self.counts[what] = self.counts.get(what, 0) + 1
        first = self.names.setdefault(what, [])
        if len(first) < FIRST_NAMES:
            first.append(printable(name))

    def add_all(self, text: str, names: Iterable[str], doubtful: bool = False) -> None:
        """Count some files."""
        for name in names:
            self.add(text, name, doubtful)

    def remarks(self) -> tuple[Remark, ...]:
        """Return what was counted, in the order in which it was met."""
        return tuple(
            Remark(text, count, tuple(self.names[text, doubtful]), doubtful)
            for (text, doubtful), count in self.counts.items()
        )
