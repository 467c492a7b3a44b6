"""The command line: every command, and what becomes of errors."""

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from ..errors import ExitCode, UnseeError
from ..quiet import quiet_decoders
from ..terminal import show_log, stderr
from . import deployment, runs


class Commands(TyperGroup):
    """Turns a user's mistake into one line, and it and an interruption into their exit codes.

    What trains and measures is imported when it is asked for, by its name or by --help.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a name."""
        if cmd_name not in self.commands:
            self.commands.update(_others())
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        self.commands.update(_others())
        return super().list_commands(ctx)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except UnseeError as error:
            stderr().print(f"unsee: {error}", style="red")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            stderr().print("unsee: interrupted; the same command goes on where this one stopped")
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    help="Object saliency in bulk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # --batch_size and --batch-size are the same option.
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
)


def _others() -> dict[str, Any]:
    """Return the commands that train and measure."""
    from .benchmarks import app as bench
    from .benchmarks import evaluate, report
    from .trainings import app as train

    others = typer.Typer()
    others.add_typer(bench, name="bench")
    others.add_typer(train, name="train")
    others.command("eval")(evaluate)
    others.command()(report)
    return dict(get_group(others).commands)


for command in (
    runs.run,
    runs.promote,
    deployment.export,
    deployment.check,
    runs.status,
    runs.verify,
    runs.demo,
    deployment.doctor,
):
    app.command()(command)


def main() -> None:
    """Run the command that the process was started with."""
    quiet_decoders()
    show_log()
    app()
