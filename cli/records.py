"""Command-line options made from annotated records: a field, its default and its help stand once, in the record.

A field is an option where a help text goes with its type: `Annotated[int, "images a step"]`.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer

Command = Callable[..., None]
MOST_CHOICES = 60
"""Characters of an option's words beside its name in the help; where there are more, they stand in its text."""
Record = TypeVar("Record")


@dataclass(frozen=True)
class Flag:
    """How a field is written where it is not just --its-name.

    names: of the option. parse: makes the field's value of the text that is given, or of None.
    """

    names: tuple[str, ...]
    parse: Callable[[str | None], Any] | None = None


class Maker(Generic[Record]):
    """Makes a record of what was given on the command line. given: values by field."""

    def __init__(self, record: type[Record], given: Mapping[str, Any]) -> None:
        self.record, self.given = record, given

    def __call__(self, **more: Any) -> Record:
        """Return the record. more: fields that are no options, or whose option does not decide."""
        return self.record(**{**self.given, **more})


def with_record(
    name: str,
    record: type,
    but: Collection[str] = (),
    flags: Mapping[str, Flag] | None = None,
    optional: bool = False,
    shown: tuple[str, Any] | None = None,
    **defaults: Any,
) -> Callable[[Command], Command]:
    """Replace a command's parameter `name`, which takes a `Maker`, by an option for each field of a record.

    but: fields that are no options here. flags: by field. optional: no option has a default, and only what is given comes to
    the maker. shown: a name and a record whose values the help tells all the same. defaults: of this command, where they
    differ from the record's.
    """
    known = flags or {}
    hints = get_type_hints(record, include_extras=True)
    chosen = [item for item in fields(record) if item.name not in but and get_origin(hints[item.name]) is Annotated]

    def with_options(command: Command) -> Command:
        @wraps(command)
        def parsed(*args: Any, **given: Any) -> None:
            values = {item.name: _parsed(given.pop(item.name), known.get(item.name)) for item in chosen}
            unset = () if optional else [item.name for item in chosen if item.default == ()]
            values |= {name: () for name in unset if values[name] is None}
            if optional:
                values = {field: value for field, value in values.items() if value is not None}
            command(*args, **{name: Maker(record, values)}, **given)

        made = [_option(item, hints[item.name], known.get(item.name), optional, shown, defaults) for item in chosen]
        set_signature(parsed, [*parameters_but(command, name), *made])
        return parsed

    return with_options


def parameters_but(command: Command, name: str) -> list[inspect.Parameter]:
    """Return a command's parameters without one."""
    return [item for own, item in inspect.signature(command, eval_str=True).parameters.items() if own != name]


def set_signature(command: Command, parameters: list[inspect.Parameter]) -> None:
    """Make a function look as if it had these parameters, which is where the command line finds its options.

    Those without a default come first, as they do in the help.
    """
    parameters = sorted(parameters, key=lambda item: item.default is not inspect.Parameter.empty)
    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in parameters]
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = {item.name: item.annotation for item in parameters}


def _option(
    item: "Field[Any]",
    hint: Any,
    flag: Flag | None,
    optional: bool,
    shown: tuple[str, Any] | None,
    defaults: Mapping[str, Any],
) -> inspect.Parameter:
    kind, text = get_args(hint)
    if flag and flag.parse:
        kind = str | None
    elif get_origin(kind) is tuple:
        kind = list[get_args(kind)[0]]
    default = defaults.get(item.name, inspect.Parameter.empty if item.default is MISSING else item.default)
    if optional:
        kind, default = kind | None, None
    elif flag and flag.parse:
        default = None
    elif default == ():
        kind, default = kind | None, None
    names = flag.names if flag else ()
    if shown is not None:
        name, values = shown
        text = f"{text}  [{name}: {getattr(values, item.name)}]"
    choices = [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []
    short = "<name>" if len("|".join(choices)) > MOST_CHOICES else None
    if short:
        text = f"{text}: {', '.join(choices)}"
    setting = typer.Option(*names, help=text, show_default=not optional, metavar=short)
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, setting]
    )


def _parsed(value: Any, flag: Flag | None) -> Any:
    if flag and flag.parse:
        return flag.parse(value)
    return tuple(value) if isinstance(value, list) else value
