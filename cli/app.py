"""The command line: every command, imported when it is used, and what becomes of errors."""

import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from .. import __version__
from ..errors import ExitCode, UnseeError


@dataclass(frozen=True)
class Place:
    """Where a command is: a function or a group of a module of this room, and what the list of commands says of it."""

    module: str
    name: str
    help: str

    def build(self, command: str) -> Any:
        """Import the command, under the name by which it is called."""
        found = getattr(import_module(f".{self.module}", __package__), self.name)
        holder = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=command)
        else:
            holder.command(command)(found)
        return get_group(holder).commands[command]


COMMANDS = {
    "run": Place("runs", "run", "Make saliency maps of images, in bulk."),
    "promote": Place("runs", "promote", "Promote the maps of any method, in bulk."),
    "status": Place("runs", "status", "Show how far a run has come."),
    "verify": Place("runs", "verify", "Check that every row and map is there and whole."),
    "index": Place("runs", "index", "Write an index of a run that other tools read."),
    "report": Place("benchmarks", "report", "Write a page of a run, or of what differs in two."),
    "eval": Place("benchmarks", "evaluate", "Score maps against masks."),
    "export": Place("deployment", "export", "Write a bundle that runs without PyTorch."),
    "wrap": Place("deployment", "wrap", "Write a bundle of another map network, from its ONNX file."),
    "check": Place("deployment", "check", "Compare what a bundle computes with what PyTorch made of it."),
    "doctor": Place("deployment", "doctor", "Show what is installed, and what a run would use."),
    "demo": Place("runs", "demo", "Run on a few photographs and leave a sheet to look at."),
    "train": Place("trainings", "app", "Train networks."),
    "bench": Place("benchmarks", "app", "Measure speed and quality against peers."),
}


RESUMABLE = ("run", "promote", "train")


class Commands(TyperGroup):
    """Turns a user's mistake into one line, and it and an interruption into their exit codes.

    A command is imported when it is run: the list of them needs none.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a name, or what the list shows of it."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name].help, rich_markup_mode=None)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name, and what is left of them."""
        if args and args[0] in COMMANDS:
            self.commands.setdefault(args[0], COMMANDS[args[0]].build(args[0]))
        elif args and (meant := get_close_matches(args[0], COMMANDS, 1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        from ..terminal import stderr

        try:
            return super().invoke(ctx)
        except UnseeError as error:
            stderr().print(f"unsee: {error}", style="red")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            resumes = ctx.invoked_subcommand in RESUMABLE
            stderr().print(
                f"unsee: interrupted{'; the same command goes on where this one stopped' if resumes else ''}"
            )
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    help="Object saliency in bulk.",
    epilog="unsee run photos/ -o maps/ makes a map of every photograph. unsee COMMAND --help tells more.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # --batch_size and --batch-size are the same option.
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unsee {__version__}")
        raise typer.Exit


@app.callback()
def settings(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Object saliency in bulk."""


def main() -> None:
    """Run the command that the process was started with."""
    if set(sys.argv[1:]) & COMMANDS.keys() and "--help" not in sys.argv:  # help needs neither, and should come at once
        from ..quiet import quiet_decoders
        from ..terminal import show_log

        quiet_decoders()
        show_log()
    app()
