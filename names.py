"""Names that come from outside, as text that may leave the program: valid UTF-8, and harmless to a terminal."""

import unicodedata


def printable(name: str) -> str:
    """Return a name as valid UTF-8: what is not becomes escapes, so that rows, JSON, pages and headers can hold it."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def shown(text: str) -> str:
    """Return text for a terminal: as `printable`, and control characters other than line ends and tabs become escapes."""
    return "".join(character if _is_harmless(character) else _escaped(character) for character in printable(text))


def _is_harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
