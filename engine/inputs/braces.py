"""Brace patterns as shells and webdataset expand them: `{00000..00009}.tar`, `{a,b}.jpg`, also one within the other."""

import itertools
import re
from collections.abc import Iterable, Iterator

NUMBERS = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.-?(\d{1,18}))?")
LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.-?(\d{1,18}))?")


def has_braces(pattern: str) -> bool:
    """Tell whether a pattern stands for several names; braces that stand for nothing are part of a name."""
    return next(expanded(pattern), pattern) != pattern


def expanded(pattern: str) -> Iterator[str]:
    """Yield the names that a brace pattern stands for, in order, one at a time; a pattern without braces is its own name."""
    opening = pattern.find("{")
    while opening >= 0:
        closing = _closing(pattern, opening)
        choices = _choices(pattern[opening + 1 : closing]) if closing else None
        if closing and choices is not None:
            before, after = pattern[:opening], pattern[closing + 1 :]
            for choice in choices:
                yield from (before + choice + rest for rest in expanded(after))
            return
        opening = pattern.find("{", opening + 1)
    yield pattern


def _closing(pattern: str, opening: int) -> int | None:
    """Return the place of the brace that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[place], 0)
        if depth == 0:
            return place
    return None


def _choices(inner: str) -> Iterable[str] | None:
    """Return what the inside of a pair of braces stands for, None where it is no list and no range."""
    if match := NUMBERS.fullmatch(inner):
        return _numbers(match[1], match[2], int(match[3] or 1))
    if match := LETTERS.fullmatch(inner):
        return (chr(code) for code in _range(ord(match[1]), ord(match[2]), int(match[3] or 1)))
    parts = _split(inner)
    return itertools.chain.from_iterable(expanded(part) for part in parts) if len(parts) > 1 else None


def _numbers(first: str, last: str, step: int) -> Iterator[str]:
    """Yield a range of numbers, as wide as the wider of its ends where one of them begins with a zero."""
    padded = any(re.match(r"-?0\d", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return (f"{number:0{width}d}" for number in _range(int(first), int(last), step))


def _range(first: int, last: int, step: int) -> range:
    step = max(step, 1)
    return range(first, last + 1, step) if first <= last else range(first, last - 1, -step)


def _split(inner: str) -> list[str]:
    """Split at the commas that are in no braces of their own."""
    parts, depth = [""], 0
    for character in inner:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
