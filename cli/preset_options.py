"""`--preset` and an option for every constant of a preset."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any

import typer

from ..engine.cleanup.presets import PRESETS, PostConfig, Preset, default_preset, preset
from ..export.bundles.bundle import is_bundle
from ..export.bundles.descent_config import DescentConfig
from .records import Command, Maker, parameters_but, set_signature, with_record

PRESET_HELP = "best: faster and better than the papers; reference: as the authors' code; paper: as printed"


def with_preset(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's `preset: Preset` by `--preset NAME` and an option for each of the preset's constants.

    Without a name a command with an option `model` takes a bundle's preset, one with an option `method` that method's.
    """

    @wraps(command)
    def parsed(
        *args: Any, preset: str | None, descent: Maker[DescentConfig], post: Maker[PostConfig], **options: Any
    ) -> None:
        base = _base(preset, options.get("method", ""), options.get("model", ""))
        command(*args, preset=overridden(base, descent.given, post.given), **options)

    text = f"{PRESET_HELP}; of {', '.join(PRESETS)} (default: by method)"
    kinds = {"preset": Annotated[str | None, typer.Option(help=text)], "descent": Any, "post": Any}
    made = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    set_signature(parsed, [*parameters_but(command, "preset"), *made])
    wrapped: Command = parsed
    usual = default_preset()
    for name, record in (("descent", DescentConfig), ("post", PostConfig)):
        wrapped = with_record(name, record, optional=True, shown=(usual.name, getattr(usual, name)))(wrapped)
    return wrapped


def overridden(base: Preset, descent: Mapping[str, Any], post: Mapping[str, Any]) -> Preset:
    """Return a preset with some constants replaced."""
    return replace(base, descent=replace(base.descent, **descent), post=replace(base.post, **post))


def _base(name: str | None, method: str, model: str) -> Preset:
    """Return the preset of that name, or without one the bundle's, or the method's own."""
    if name is None and is_bundle(model):
        from ..engine.networks.model_exports import bundle_preset

        found = bundle_preset(model)
        if found:
            return found
    return preset(name) if name else default_preset(method)
