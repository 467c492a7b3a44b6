"""The command line: `unsee` or `python -m unsee`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup
from typer.main import get_group

from .engine.config import MethodName, PromotionConfig, RunConfig
from .engine.presets import Preset
from .errors import ExitCode, UnseeError, VerificationError
from .export.config import Precision
from .options import with_preset
from .quiet import quiet_decoders
from .run_options import RunOptions, with_run_options
from .terminal import counted, show_log, stderr, stdout
from .train.pretrained import DEFAULT_NAME

DOCTOR_COLUMN = 20
MODEL_HELP = "checkpoint directory, shipped checkpoint, or network: vgg16, squeezenet1_1, resnet18"


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
    from .bench.commands import app as bench
    from .bench.commands import evaluate, report
    from .train.commands import app as train

    others = typer.Typer()
    others.add_typer(bench, name="bench")
    others.add_typer(train, name="train")
    others.command("eval")(evaluate)
    others.command()(report)
    return dict(get_group(others).commands)


@app.command()
@with_run_options
@with_preset
def run(
    inputs: Annotated[list[str], typer.Argument(help="files, folders, patterns, lists, archives; paths or URLs")],
    output_folder: Annotated[str, typer.Option(help="run directory: maps, rows and stats")],
    preset: Preset,
    model: Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)] = DEFAULT_NAME,
    weights: Annotated[str | None, typer.Option(help="weight file of the network that --model names")] = None,
    method: Annotated[MethodName, typer.Option(help="b and a are the papers'; the others are what they compare")] = "b",
    cnn1: Annotated[str | None, typer.Option(help="method a: classifier of whole images [default: --model]")] = None,
    cnn2: Annotated[str | None, typer.Option(help="method a: classifier of masked images")] = None,
    cnn3: Annotated[str | None, typer.Option(help="method a: classifier of both, with 2N classes")] = None,
    promote: Annotated[
        str | None, typer.Option(help="promoter (checkpoint or bundle) that lifts finished maps")
    ] = None,
    promote_iterations: Annotated[int | None, typer.Option(help="passes of --promote [default: its own]")] = None,
    *,
    options: RunOptions,
) -> None:
    """Make saliency maps of images, in bulk; the same command again goes on where it stopped."""
    config = RunConfig(
        sources=options.sources(inputs),
        output_folder=output_folder,
        model=_recognizer(method, model, cnn1),
        weights=weights,
        method=method,
        cnn2=cnn2,
        cnn3=cnn3,
        promotion=PromotionConfig(promote, promote_iterations) if promote else None,
        preset=preset,
    )
    execute(options.configured(config), options)


def _recognizer(method: MethodName, model: str, cnn1: str | None) -> str:
    """Return the classifier of whole images."""
    if cnn1 is not None and method != "a":
        raise UnseeError("--cnn1 belongs to method a: add --method a, or name the classifier with --model")
    return cnn1 or model


@app.command()
@with_run_options
def promote(
    prior: Annotated[str, typer.Option(help="folder of maps by any method, called as their images are")],
    images: Annotated[
        list[str], typer.Option(help="what the maps are of, as the inputs of unsee run; may be repeated")
    ],
    output_folder: Annotated[str, typer.Option(help="run directory: maps, rows and stats")],
    model: Annotated[str, typer.Option("--model", "-m", help="promoter: checkpoint or bundle")],
    iterations: Annotated[int | None, typer.Option(help="passes of the promoter [default: its own]")] = None,
    *,
    options: RunOptions,
) -> None:
    """Promote the maps of any method, in bulk; the same command again goes on where it stopped."""
    config = RunConfig(
        sources=options.sources(images),
        output_folder=output_folder,
        method="given",
        promotion=PromotionConfig(model, iterations, prior),
    )
    execute(options.configured(config), options)


def execute(config: RunConfig, options: RunOptions) -> None:
    """Run a configuration, or show its plan, and end with the exit code of its failures."""
    from .engine import run as engine

    if options.dry_run:
        engine.dry_run(config, stdout(), options.resumption())
        return
    summary = engine.run(config, resumption=options.resumption())
    if summary.error_rate > config.max_error_rate:
        raise typer.Exit(ExitCode.FAILED_ROWS)


@app.command()
@with_preset
def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    bundle: Annotated[Path, typer.Argument(help="directory of the bundle")],
    preset: Preset,
    weights: Annotated[str | None, typer.Option(help="weight file of the network that the model names")] = None,
    precision: Annotated[Precision, typer.Option(help="of the network's layers; half precision is for GPUs")] = "fp32",
    probes: Annotated[str | None, typer.Option(help="photographs to verify on [default: synthetic images]")] = None,
    tensorrt: Annotated[bool, typer.Option("--tensorrt", help="also build this machine's TensorRT plan")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="of the TensorRT plan")] = 32,
    promote_iterations: Annotated[int | None, typer.Option(help="passes of a promoter [default: its own]")] = None,
) -> None:
    """Write a bundle that runs without PyTorch: ONNX graph, probe and parity report.

    The graph is the descent step of a classifier, or the whole of a promoter or an attentional network.
    """
    from .engine.bundles import export_map_model, export_model
    from .export.exporting import build_plan
    from .export.map_parity import MapParity
    from .export.parity import Parity
    from .train.map_metadata import is_map_checkpoint

    if is_map_checkpoint(model):
        if weights or precision != "fp32":
            raise UnseeError(
                f"{model}: promoters and attentional networks are exported in fp32, with their own weights"
            )
        made = export_map_model(model, bundle, promote_iterations, probes)
        lines = MapParity(**made.parity).lines()
        lines.append(f"{bundle}: {made.metadata.kind}, preset {made.metadata.preset}, opset {made.opset}")
    elif promote_iterations is not None:
        raise UnseeError(f"{model} is no promoter, which --promote-iterations is for")
    else:
        written = export_model(model, bundle, preset, weights, precision, probes)
        lines = Parity(**written.parity).lines()
        lines.append(f"{bundle}: {written.network}, preset {preset.name}, opset {written.opset}")
    if tensorrt:
        build_plan(bundle, batch_size)
    for line in lines:
        stdout().print(line)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="directory of a bundle")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt or ort-tensorrt")] = "auto",
) -> None:
    """Run a bundle on its probe and compare with what PyTorch made of it; exit code 4 where they differ."""
    from .engine.bundles import check_model

    for line in check_model(bundle, device, backend).lines():
        stdout().print(line)


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="run directory")]) -> None:
    """Show how far a run has come: shards and images done, rate, failures, time left."""
    from .engine.status import summarize

    summary = summarize(folder)
    table = Table(show_header=False, box=None)
    table.add_row("shards", f"{summary.shards} of {summary.planned_shards} done")
    table.add_row("images", f"{summary.count} of {summary.planned} done, {summary.failed} failed")
    table.add_row("rate", f"{summary.rate:.1f} images/s")
    if summary.seconds_left is not None:
        table.add_row("time left", f"{summary.seconds_left:.0f} s at that rate, one shard after the other")
    for reason, count in summary.statuses.most_common():
        table.add_row(f"  {reason}", str(count))
    for reason, count in summary.left_out.items():
        table.add_row("left out", f"{count} {reason}")
    stdout().print(table)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="run directory")]) -> None:
    """Check that rows in = rows out and that every map is there and whole; exit code 4 where not."""
    from .engine.verify import faults

    count = 0
    for count, fault in enumerate(faults(folder), 1):
        stderr().print(fault)
    if count:
        raise VerificationError(
            f"{folder}: {counted(count, 'fault')}; the command of the run with --repair makes good what it can"
        )
    stdout().print(f"{folder}: every row and map is there")


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

    for subject, finding in findings():
        stdout().print(f"{subject:<{DOCTOR_COLUMN}} {finding}")


def main() -> None:
    """Entry point of the `unsee` command."""
    quiet_decoders()
    show_log()
    app()


if __name__ == "__main__":
    main()
