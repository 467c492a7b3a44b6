"""Help that fits a screen: everyday options by `--help`, all of them by `--help-all`."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args

import typer
from typer.models import OptionInfo

from .records import Command, parameters_but, set_signature


def everyday(*names: str) -> Callable[[Command], Command]:
    """Show only the options of these names, and arguments, in a command's help; --help-all shows all."""

    def with_help_all(command: Command) -> Command:
        @wraps(command)
        def parsed(help_all: bool, **given: Any) -> None:  # noqa: ARG001 - its callback answers
            command(**given)

        parameters = parameters_but(command, "")
        for parameter in parameters:
            info = next((item for item in get_args(parameter.annotation) if isinstance(item, OptionInfo)), None)
            if info is not None:
                info.hidden = parameter.name not in names
        kind = Annotated[bool, typer.Option("--help-all", callback=_show_all, is_eager=True, help="show all options")]
        help_all = inspect.Parameter("help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        set_signature(parsed, [*parameters, help_all])
        return parsed

    return with_help_all


def _show_all(context: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    for parameter in context.command.params:
        if hasattr(parameter, "hidden"):
            parameter.hidden = False  # pyright: ignore[reportAttributeAccessIssue]
    typer.echo(context.get_help())
    raise typer.Exit
