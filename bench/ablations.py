"""Ablations: a preset with one constant changed, or the same on another runtime or in another precision.

A change is written NAME=VALUE[,VALUE...], such as `gamma=0,1`, `gradient=raw`, `segments=0`, `low_level=false`,
`backend=onnxruntime` or `precision=bf16`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..engine.cleanup.presets import Preset
from ..errors import UnseeError
from ..export.bundles.descent_config import Precision
from ..export.runtime.backends import BACKENDS

RECORDS = ("descent", "post")
"""The parts of a preset whose constants can be changed."""
TRUTH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


@dataclass(frozen=True)
class Variant:
    """A preset, and on what it runs. label: the change, empty where there is none. backend: the usual one where None."""

    preset: Preset
    label: str = ""
    backend: str | None = None
    precision: Precision = "fp32"


def variants(base: Preset, changes: Iterable[str]) -> list[Variant]:
    """Return the base itself, and one variant for each value of each change; `UnseeError` on unknown names or values."""
    return [Variant(base), *(_variant(base, name, value) for change in changes for name, value in _parsed(change))]


def _parsed(change: str) -> list[tuple[str, str]]:
    name, _, values = change.partition("=")
    found = [(name.strip().replace("-", "_"), value.strip()) for value in values.split(",") if value.strip()]
    if not found:
        raise UnseeError(f"an ablation is NAME=VALUE[,VALUE...], got {change!r}")
    return found


def _variant(base: Preset, name: str, value: str) -> Variant:
    label = f"{name}={value}"
    if name == "backend":
        return Variant(base, label, backend=_one_of(name, value, BACKENDS))
    if name == "precision":
        return Variant(base, label, precision=_one_of(name, value, get_args(Precision)))
    for part in RECORDS:
        record = getattr(base, part)
        if name in _names(record):
            changed = replace(record, **{name: _value(record, name, value)})
            return Variant(replace(base, **{part: changed}), label)
    known = sorted(["backend", "precision", *(name for part in RECORDS for name in _names(getattr(base, part)))])
    raise UnseeError(f"nothing called {name!r} to ablate; known: {', '.join(known)}")


def _names(record: Any) -> list[str]:
    return [item.name for item in fields(record)]


def _value(record: Any, name: str, text: str) -> Any:
    """Return the text as a value of the field's type."""
    kind = get_type_hints(type(record))[name]
    if get_origin(kind) is Literal:
        return _one_of(name, text, get_args(kind))
    if kind is bool:
        return TRUTH[_one_of(name, text.lower(), tuple(TRUTH))]
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise UnseeError(f"{name} takes a value of type {getattr(kind, '__name__', kind)}, got {text!r}") from None


def _one_of(name: str, value: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise UnseeError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value
