"""Which other files an ONNX file keeps its weights in, found without the onnx package.

Only what leads to tensors is read of the protobuf: graphs, nodes, attributes, functions; weights are skipped over.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from ...errors import UnseeError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEEPEST = 64

# Numbers of the fields of onnx.proto that hold a message on the way to a tensor, by the message they are in.
INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
KEY, VALUE = 1, 2
"""Fields of an entry of a tensor's external data."""


def external_files(path: Path) -> set[str]:
    """Return the files that an ONNX file's tensors lie in, as it names them; `UnseeError` where it is not ONNX."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return set(_locations(data, 0, len(data), "model", 0))
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # an empty file too
        raise UnseeError(f"{path}: damaged, not an ONNX file ({error})") from None


def _locations(data: mmap.mmap, start: int, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    for number, first, last in _messages(data, start, end):
        inner = INNER[message].get(number)
        if inner == "entry":
            entry = {field: data[low:high] for field, low, high in _messages(data, first, last)}
            if entry.get(KEY) == b"location":
                yield entry.get(VALUE, b"").decode()
        elif inner:
            yield from _locations(data, first, last, inner, depth + 1)


def _messages(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, end) of the fields of variable length in a message; the others are skipped."""
    place = start
    while place < end:
        tag, place = _varint(data, place, end)
        kind = tag & 7
        if kind == BYTES:
            length, place = _varint(data, place, end)
            yield tag >> 3, place, _within(place + length, end)
            place += length
        elif kind == VARINT:
            _, place = _varint(data, place, end)
        elif kind in (FIXED32, FIXED64):
            place = _within(place + (4 if kind == FIXED32 else 8), end)
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    """Return a number and the place after it."""
    value = shift = 0
    while shift < 64:
        byte = data[_within(place + 1, end) - 1]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a number is too long")


def _within(place: int, end: int) -> int:
    if place > end:
        raise ValueError("it ends too early")
    return place
