"""JPEGs that lack their end mark: whole where every coefficient was there before (ITU-T T.81, annex B and G)."""

import re
from collections.abc import Iterator

END = b"\xff\xd9"
SCAN, RESTARTS = 0xDA, range(0xD0, 0xD8)
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
COEFFICIENTS = 64
FILLERS = (b"", b"\xfe\xa5" * 1024, b"\x55\x3c" * 1024)
"""What a decoder may find behind the end of the data: nothing, which it reads as zeros, ones first, and a mixture."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def lacks_end(data: bytes) -> bool:
    """Tell whether the end mark of a JPEG is missing."""
    return data.rfind(END) < data.rfind(bytes((0xFF, SCAN)))


def has_all_scans(data: bytes) -> bool:
    """Tell whether the scans that a JPEG holds, the last one perhaps in part, are to give every coefficient exactly."""
    components: set[int] = set()
    exact: set[tuple[int, int]] = set()
    for marker, content in _segments(data):
        if marker in FRAMES and len(content) > 5:
            components = set(content[6 : 6 + 3 * content[5] : 3])
        elif marker == SCAN:
            exact |= _finished_by(content)
    return bool(components) and len(exact) == len(components) * COEFFICIENTS


def _finished_by(scan: bytes) -> set[tuple[int, int]]:
    """Return (component, coefficient) of what a scan gives to the last bit."""
    count = scan[0] if scan else 0
    if len(scan) < 4 + 2 * count:
        return set()
    first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
    if bits & 15:
        return set()
    return {(component, place) for component in scan[1 : 1 + 2 * count : 2] for place in range(first, last + 1)}


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment up to the end mark or the end of the data."""
    place = 2
    while (found := _MARKER.search(data, place)) and data[found.start() + 1] != END[1]:
        start = found.end()
        end = start + int.from_bytes(data[start : start + 2])
        yield data[start - 1], data[start + 2 : end]
        place = max(end, start)
