"""`--preset` and an option for every constant of a preset, made from the records that hold them."""

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ..engine.methods.presets import PRESETS, PostConfig, Preset, default_preset, preset
from ..export.bundles.bundle import is_bundle
from ..export.bundles.descent_config import DescentConfig
from .records import parameters_but, set_signature

MODEL_HELP = "checkpoint directory, shipped checkpoint, or network: vgg16, squeezenet1_1, resnet18"

Record = TypeVar("Record", DescentConfig, PostConfig)


def with_preset(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's `preset: Preset` by `--preset NAME` and an option for each of the preset's constants.

    Without a name a command with an option `model` takes a bundle's preset, one with an option `method` that method's.
    """
    records = (DescentConfig, PostConfig)

    @wraps(command)
    def parsed(*args: Any, preset: str | None, **options: Any) -> None:
        base = _base(preset, options.get("method", ""), options.get("model", ""))
        overrides = [{item.name: options.pop(item.name) for item in fields(record)} for record in records]
        command(*args, preset=overridden(base, *overrides), **options)

    made = [_preset_option(), *(option for record in records for option in _options(record))]
    set_signature(parsed, [*parameters_but(command, "preset"), *made])
    return parsed


def overridden(base: Preset, descent: dict[str, Any], post: dict[str, Any]) -> Preset:
    """Return a preset with those constants replaced that are not None."""
    return replace(base, descent=_replaced(base.descent, descent), post=_replaced(base.post, post))


def _base(name: str | None, method: str, model: str) -> Preset:
    """Return the preset of that name, or without one the bundle's, or the method's own."""
    if name is None and is_bundle(model):
        from ..engine.model_exports import bundle_preset

        found = bundle_preset(model)
        if found:
            return found
    return preset(name) if name else default_preset(method)


def _replaced(record: Record, values: dict[str, Any]) -> Record:
    return replace(record, **{name: value for name, value in values.items() if value is not None})


def _preset_option() -> inspect.Parameter:
    meanings = "reference: as the authors' code; paper: as printed; best: faster and better"
    text = f"{meanings}; of {', '.join(PRESETS)} [default: by method]"
    annotation = Annotated[str | None, typer.Option(help=text)]
    return inspect.Parameter("preset", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _options(record: type) -> list[inspect.Parameter]:
    hints = get_type_hints(record, include_extras=True)
    return [_option(item.name, *get_args(hints[item.name])) for item in fields(record)]


def _option(name: str, kind: Any, description: str) -> inspect.Parameter:
    option = typer.Option(help=description, show_default=False, rich_help_panel="Constants of the preset")
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
