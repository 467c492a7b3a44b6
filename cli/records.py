"""Command-line options made from annotated records: commands that share options share a record, written once."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints

Command = Callable[..., None]


def with_record(name: str, record: type, **defaults: Any) -> Callable[[Command], Command]:
    """Replace a command's parameter `name`, which takes a record, by an option for each of the record's fields.

    record: a dataclass whose fields are annotated with their options. defaults: of this command, where they differ from
    the record's.
    """

    def with_options(command: Command) -> Command:
        @wraps(command)
        def parsed(*args: Any, **given: Any) -> None:
            values = {item.name: given.pop(item.name) for item in fields(record)}
            command(*args, **{name: record(**values)}, **given)

        hints = get_type_hints(record, include_extras=True)
        made = [
            inspect.Parameter(
                item.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(item.name, item.default),
                annotation=hints[item.name],
            )
            for item in fields(record)
        ]
        set_signature(parsed, [*parameters_but(command, name), *made])
        return parsed

    return with_options


def parameters_but(command: Command, name: str) -> list[inspect.Parameter]:
    """Return a command's parameters without one."""
    return [item for own, item in inspect.signature(command, eval_str=True).parameters.items() if own != name]


def set_signature(command: Command, parameters: list[inspect.Parameter]) -> None:
    """Make a function look as if it had these parameters, which is where the command line finds its options."""
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
