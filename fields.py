"""Checks of values that came from a file or a user: of their type, finite, within limits, or one clear error."""

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .errors import UnseeError

LARGEST = 1e9
"""Magnitude of a number without limits of its own."""
LONGEST_SHOWN = 60

Limits = tuple[float, float]


def whole(value: object, name: str, low: float = -LARGEST, high: float = LARGEST) -> int:
    """Return a whole number from low to high; `UnseeError` on anything else, a fraction or a truth value too."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UnseeError(f"{name} must be a whole number, got {_short(value)}")
    _check_range(int(value), name, low, high)
    return int(value)


def number(value: object, name: str, low: float = -LARGEST, high: float = LARGEST) -> float:
    """Return a number from low to high; `UnseeError` on anything else, NaN too. Only a low of -inf admits -inf."""
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise UnseeError(f"{name} must be a number, got {_short(value)}")
    _check_range(float(value), name, low, high)
    return float(value)


def text(value: object, name: str) -> str:
    """Return a text; `UnseeError` on anything else."""
    if not isinstance(value, str):
        raise UnseeError(f"{name} must be a text, got {_short(value)}")
    return value


def flag(value: object, name: str) -> bool:
    """Return a truth value; `UnseeError` on anything else."""
    if not isinstance(value, bool):
        raise UnseeError(f"{name} must be true or false, got {_short(value)}")
    return value


def mapping(value: object, name: str) -> dict[str, Any]:
    """Return a JSON object as a dictionary of its own; `UnseeError` on anything else."""
    if not isinstance(value, dict):
        raise UnseeError(f"{name} must be an object, got {_short(value)}")
    return dict(value)


def triple(value: object, name: str, low: float = -LARGEST) -> tuple[float, float, float]:
    """Return three numbers, one a channel; `UnseeError` on anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise UnseeError(f"{name} must be three numbers, got {_short(value)}")
    first, second, third = (number(item, name, low) for item in value)
    return first, second, third


def check_fields(record: Any, limits: Mapping[str, Limits]) -> None:
    """Raise `UnseeError` unless every field of a dataclass has its annotated type and is within its limits, if any."""
    hints = get_type_hints(type(record))
    for item in fields(record):
        _check_field(hints[item.name], getattr(record, item.name), item.name, limits.get(item.name))


def _check_field(kind: Any, value: object, name: str, limits: Limits | None) -> None:
    low, high = limits or (-LARGEST, LARGEST)
    if kind is bool:
        flag(value, name)
    if kind is int:
        whole(value, name, low, high)
    elif kind is float:
        number(value, name, low, high)
    elif kind is str:
        text(value, name)
    elif get_origin(kind) is Literal and (not isinstance(value, str) or value not in get_args(kind)):
        raise UnseeError(f"{name} must be one of {', '.join(map(str, get_args(kind)))}, got {_short(value)}")


def _check_range(value: float, name: str, low: float, high: float) -> None:
    if value < low:
        raise UnseeError(f"{name} must be at least {low:.10g}, got {_short(value)}")
    if value > high:
        raise UnseeError(f"{name} must be at most {high:.10g}, got {_short(value)}")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."
