"""The command line: `unsee` or `python -m unsee`."""

import os
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from .bench.commands import app as bench
from .bench.commands import evaluate, report
from .engine.config import Distributor, MethodName, OnError, OutputFormat, Refine, RunConfig, Segment, SegmentConfig
from .engine.presets import Preset
from .engine.sharding import OutputNames, Sharding
from .engine.sources import InputFormat, Sources
from .errors import ExitCode, UnseeError, VerificationError
from .export.config import Precision
from .options import with_preset
from .train.commands import app as train
from .train.pretrained import DEFAULT_NAME

MODEL_HELP = "checkpoint directory, shipped checkpoint, or network: vgg16, squeezenet1_1, resnet18"


class Commands(TyperGroup):
    """Turns a user's mistake into one line, and it and an interruption into their exit codes."""

    def invoke(self, ctx: Any) -> Any:
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

app.add_typer(bench, name="bench")
app.add_typer(train, name="train")
app.command("eval")(evaluate)
app.command()(report)


@app.command()
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
    refine: Annotated[
        Refine, typer.Option(help="replace maps by the mean of segmentations from random seeds")
    ] = "none",
    segment: Annotated[Segment, typer.Option(help="write a binary mask beside each map")] = "none",
    proposals: Annotated[
        str | None, typer.Option(help="folder of proposals for --segment jaccard: OUTPUT/*.png or OUTPUT.mat")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the random seeds of --refine and --segment")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[str, typer.Option(help="auto or the name of a runtime (unsee doctor)")] = "auto",
    batch_size: Annotated[int | None, typer.Option(help="images descended on together [default: automatic]")] = None,
    number_sample_per_shard: Annotated[int, typer.Option(help="inputs that are finished and resumed together")] = 1000,
    input_format: Annotated[InputFormat, typer.Option(help="what the inputs are; auto goes by name")] = "auto",
    path_column: Annotated[
        str | None, typer.Option("--path-column", "--url-col", help="column of a list that holds paths or URLs")
    ] = None,
    output_format: Annotated[OutputFormat, typer.Option(help="dummy writes rows but no maps")] = "files",
    output_names: Annotated[OutputNames, typer.Option(help="maps mirror their inputs' paths, or bear keys")] = "mirror",
    exif: Annotated[bool, typer.Option(help="turn images as their EXIF orientation says")] = True,
    exact_decoding: Annotated[bool, typer.Option(help="decode large JPEGs at full size")] = False,
    max_pixels: Annotated[int, typer.Option(help="larger images become failed rows")] = 100_000_000,
    timeout: Annotated[float, typer.Option(help="seconds in which an image must be read and decoded")] = 60.0,
    on_error: Annotated[OnError, typer.Option(help="a failed image becomes a row, or ends the run")] = "record",
    max_error_rate: Annotated[
        float, typer.Option(help="share of failed images that still ends with exit code 0")
    ] = 0.0,
    workers: Annotated[int | None, typer.Option(help="threads that decode, and that encode [default: by CPU]")] = None,
    distributor: Annotated[Distributor, typer.Option(help="this machine, or a Ray cluster")] = "local",
    processes: Annotated[
        int, typer.Option("--processes", "--processes-count", help="processes or Ray actors, each with its own model")
    ] = 1,
    max_shard_retry: Annotated[int, typer.Option(help="how often a shard is tried again after a crash")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and write nothing")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="start anew in a folder that holds another run")
    ] = False,
    extend: Annotated[bool, typer.Option("--extend", help="add inputs that are new since the run was planned")] = False,
    retry_errors: Annotated[
        str | None, typer.Option(help="try failed images of finished shards again: error codes with commas, or all")
    ] = None,
) -> None:
    """Make saliency maps of images, in bulk; the same command again goes on where it stopped."""
    from .engine import run as engine

    config = RunConfig(
        sources=Sources(tuple(inputs), input_format, path_column),
        output_folder=output_folder,
        model=cnn1 or model,
        weights=weights,
        method=method,
        cnn2=cnn2,
        cnn3=cnn3,
        segmentation=SegmentConfig(segment, refine, proposals=proposals, seed=seed),
        preset=preset,
        device=device,
        backend=backend,
        batch_size=batch_size,
        shards=Sharding(number_sample_per_shard, output_names),
        output_format=output_format,
        exif=exif,
        max_pixels=max_pixels,
        exact_decoding=exact_decoding,
        on_error=on_error,
        max_error_rate=max_error_rate,
        timeout=timeout,
        workers=workers or min(4, len(os.sched_getaffinity(0))),
        distributor=distributor,
        processes=processes,
        max_shard_retry=max_shard_retry,
    )
    if dry_run:
        engine.dry_run(config, Console())
        return
    codes = None if retry_errors is None else [code for code in retry_errors.split(",") if code not in ("", "all")]
    summary = engine.run(config, overwrite=overwrite, extend=extend, retry_errors=codes)
    if summary.error_rate > max_error_rate:
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
) -> None:
    """Write a bundle that runs without PyTorch: ONNX graph of a descent step, labels, probe and parity report."""
    from .engine.bundles import export_model
    from .export.exporting import build_plan
    from .export.parity import Parity

    written = export_model(model, bundle, preset, weights, precision, probes)
    if tensorrt:
        build_plan(bundle, batch_size)
    console = Console()
    for line in Parity(**written.parity).lines():
        console.print(line, soft_wrap=True)
    console.print(f"{bundle}: {written.network}, preset {preset.name}, opset {written.opset}", soft_wrap=True)


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="directory of a bundle")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt or ort-tensorrt")] = "auto",
) -> None:
    """Run a bundle on its probe and compare with what PyTorch made of it; exit code 4 where they differ."""
    from .engine.bundles import check_model

    for line in check_model(bundle, device, backend).lines():
        Console().print(line, soft_wrap=True)


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
    Console().print(table)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="run directory")]) -> None:
    """Check that rows in = rows out and that every map is there and whole; exit code 4 where not."""
    from .engine.verify import faults

    count = 0
    for count, fault in enumerate(faults(folder), 1):
        Console(stderr=True).print(fault, markup=False, soft_wrap=True)
    if count:
        raise VerificationError(f"{folder}: {count} faults")
    Console().print(f"{folder}: every row and map is there", soft_wrap=True)


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
