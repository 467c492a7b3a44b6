"""The command line: `unsee` or `python -m unsee`."""

import os
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from .engine.config import OutputFormat, RunConfig
from .engine.presets import Preset
from .errors import ExitCode, UnseeError
from .options import with_preset
from .train.pretrained import DEFAULT_NAME

MODEL_HELP = "checkpoint directory, shipped checkpoint, or network: vgg16, squeezenet1_1, resnet18"


class Commands(TyperGroup):
    """Turns a user's mistake into one line, and it and an interruption into their exit codes."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except UnseeError as error:
            Console(stderr=True).print(f"unsee: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            Console(stderr=True).print("unsee: interrupted; the same command goes on where this one stopped")
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    help="Object saliency in bulk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # --batch_size and --batch-size are the same option.
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
)


@app.command()
@with_preset
def run(
    inputs: Annotated[list[str], typer.Argument(help="files, folders, patterns, text lists of paths")],
    output_folder: Annotated[str, typer.Option(help="run directory: maps, rows and stats")],
    preset: Preset,
    model: Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)] = DEFAULT_NAME,
    weights: Annotated[
        str | None, typer.Option(help="weight file (.safetensors, .pth) of the network named by --model")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[str, typer.Option(help="auto or torch")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1)] = 16,
    number_sample_per_shard: Annotated[int, typer.Option(help="inputs that are finished and resumed together")] = 1000,
    output_format: Annotated[OutputFormat, typer.Option(help="dummy writes rows but no maps")] = "files",
    exif: Annotated[bool, typer.Option(help="turn images as their EXIF orientation says")] = True,
    max_pixels: Annotated[int, typer.Option(help="larger images become failed rows")] = 100_000_000,
    max_error_rate: Annotated[
        float, typer.Option(help="share of failed images that still ends with exit code 0")
    ] = 0.0,
    workers: Annotated[int | None, typer.Option(help="threads that decode, and that encode [default: by CPU]")] = None,
    overwrite: Annotated[bool, typer.Option(help="start anew in a folder that holds another run")] = False,
) -> None:
    """Make saliency maps of images, in bulk; the same command again goes on where it stopped."""
    from .engine.run import run

    config = RunConfig(
        inputs=tuple(inputs),
        output_folder=output_folder,
        model=model,
        weights=weights,
        preset=preset,
        device=device,
        backend=backend,
        batch_size=batch_size,
        samples_per_shard=number_sample_per_shard,
        output_format=output_format,
        exif=exif,
        max_pixels=max_pixels,
        max_error_rate=max_error_rate,
        workers=workers or min(4, len(os.sched_getaffinity(0))),
    )
    summary = run(config, overwrite=overwrite)
    if summary.error_rate > max_error_rate:
        raise typer.Exit(ExitCode.FAILED_ROWS)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="where photographs, maps and the overlay sheet go")] = Path("demo"),
    model: Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)] = DEFAULT_NAME,
) -> None:
    """Run on scikit-image's photographs and leave an overlay sheet to look at."""
    from .bench.demo import demo

    demo(folder, model)


@app.command()
def doctor() -> None:
    """Show versions, devices, installed extras, and what a run would use."""
    from .engine.doctor import findings

    table = Table(show_header=False, box=None)
    for subject, finding in findings():
        table.add_row(subject, finding)
    Console().print(table)


def main() -> None:
    """Entry point of the `unsee` command."""
    warnings.filterwarnings("ignore", module="PIL")  # odd metadata; what makes an image unusable becomes a row
    app()


if __name__ == "__main__":
    main()
