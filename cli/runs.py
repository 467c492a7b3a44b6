"""`unsee run`, `promote`, `status`, `verify`, `index` and `demo`: a run directory from its plan to its report."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from ..engine.cleanup.presets import Preset
from ..engine.methods.method_config import MODEL_HELP, PromotionConfig
from ..engine.run_config import RunConfig
from ..errors import ExitCode, UnseeError, VerificationError
from ..terminal import counted, stderr, stdout
from ..train.networks.model_names import DEFAULT_NAME
from .everyday import everyday
from .preset_options import with_preset
from .run_records import RunRecords, with_run

EVERYDAY = (
    *("output_folder", "model", "device", "backend", "output_format", "output_kind", "segment", "processes"),
    *("overwrite", "extend", "retry", "repair", "dry_run", "max_error_rate"),
)
"""Options of a run that its help shows; --help-all shows all."""


@everyday(*EVERYDAY, "preset", "promote", "method")
@with_preset
@with_run()
def run(
    context: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help="files, folders, patterns, lists, archives; paths or URLs")],
    preset: Preset,
    cnn1: Annotated[str | None, typer.Option(help="method a: classifier of whole images (default: --model)")] = None,
    promote: Annotated[
        str | None, typer.Option(help="promoter (checkpoint or bundle) that lifts finished maps")
    ] = None,
    promote_iterations: Annotated[int | None, typer.Option(help="passes of --promote (default: its own)")] = None,
    *,
    given: RunRecords,
) -> None:
    """Make saliency maps of images, in bulk; the same command again goes on where it stopped.

    For example: unsee run photos/ -o maps/
    """
    if cnn1 is not None and given.config.given["method"] != "a":
        raise UnseeError("--cnn1 belongs to method a: add --method a, or name the classifier with --model")
    if promote_iterations is not None and not promote:
        raise UnseeError("--promote-iterations belongs to a promoter: add --promote")
    promotion = PromotionConfig(promote, promote_iterations) if promote else None
    recognizer = {"model": cnn1} if cnn1 else {}
    config = given.configured(inputs, preset=preset, promotion=promotion, **recognizer)
    _check_method(config, context)
    execute(config, given)


def _check_method(config: RunConfig, context: typer.Context) -> None:
    """Refuse a method that was typed for a model of another: only where it is left out does the model decide."""
    source = context.get_parameter_source("method")
    if not source or source.name != "COMMANDLINE":
        return
    from ..engine.methods.models import method_for

    meant = method_for(config.method, config.model)
    if meant != config.method:
        raise UnseeError(f"{config.model} is not for --method {config.method}: use --method {meant}, or leave it out")


@everyday(*EVERYDAY, "prior", "images", "iterations")
@with_run("model", "weights", "method", "cnn2", "cnn3", "input_size", "mean", "std", "labels", "decoder")
def promote(
    prior: Annotated[str, typer.Option(help="folder of maps by any method, called as their images are")],
    images: Annotated[
        list[str], typer.Option(help="what the maps are of, as the inputs of unsee run; may be repeated")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="promoter: checkpoint or bundle")],
    iterations: Annotated[int | None, typer.Option(help="passes of the promoter (default: its own)")] = None,
    *,
    given: RunRecords,
) -> None:
    """Promote the maps of any method, in bulk; the same command again goes on where it stopped."""
    promotion = PromotionConfig(model, iterations, prior)
    execute(given.configured(images, method="given", promotion=promotion), given)


def execute(config: RunConfig, given: RunRecords) -> None:
    """Run a configuration, or show its plan, and end with the exit code of its failures."""
    from ..engine import run as engine

    if given.dry_run:
        engine.dry_run(config, stdout(), given.resumption())
        return
    summary = engine.run(config, resumption=given.resumption())
    if summary.error_rate > config.max_error_rate:
        raise typer.Exit(ExitCode.FAILED_ROWS)


RunFolder = Annotated[str, typer.Argument(help="run directory, a path or a URL")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def status(folder: RunFolder, json: AsJson = False) -> None:
    """Show how far a run has come: shards and images done, rate, failures, time left."""
    from ..engine.status import summarize
    from ..engine.stores.stores import store_of

    store = store_of(folder)
    with store.opened():
        summary = summarize(store.folder)
    if json:
        figures = {name: getattr(summary, name) for name in ("error_rate", "rate", "seconds_left")}
        _print_json({**vars(summary), **figures})
        return
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


def verify(folder: RunFolder, json: AsJson = False) -> None:
    """Check that rows in = rows out and that every map is there and whole; exit code 4 where not."""
    from ..engine.stores.stores import store_of
    from ..engine.verify import NOT_DONE, faults_of

    store = store_of(folder)
    with store.opened():
        if json:
            found = list(faults_of(store))
            _print_json({"whole": not found, "faults": found})
            raise typer.Exit(ExitCode.MISMATCH if found else 0)
        count, unfinished = 0, True
        for count, fault in enumerate(faults_of(store), 1):
            stderr().print(fault)
            unfinished &= fault.endswith(NOT_DONE)
    if count:
        remedy = "finishes it" if unfinished else "with --repair makes good what it can"
        raise VerificationError(f"{folder}: {counted(count, 'fault')}; the command of the run {remedy}")
    stdout().print(f"{folder}: every row and map is there")


def index(
    folder: RunFolder,
    kind: Annotated[
        Literal["coco", "huggingface"],
        typer.Option(
            "--as", help="labels.json of COCO, which FiftyOne reads, or README.md for Hugging Face's datasets"
        ),
    ],
    images: Annotated[
        Path | None, typer.Option(help="coco: folder that file names are relative to (default: as in the rows)")
    ] = None,
) -> None:
    """Write an index of a finished run beside its results, in a form that other tools read."""
    from ..engine.indexes.coco_index import write_coco
    from ..engine.indexes.dataset_card import write_card
    from ..engine.stores.stores import store_of

    if images is not None and kind != "coco":
        raise UnseeError("--images belongs to --as coco")
    store = store_of(folder)
    with store.opened("rows"):
        written = write_coco(store.folder, images) if kind == "coco" else write_card(store.folder)
        stdout().print(store.publish_file(written))


def _print_json(value: dict[str, Any]) -> None:
    from json import dumps

    typer.echo(dumps(value, ensure_ascii=True))


def demo(
    folder: Annotated[Path, typer.Argument(help="where photographs, maps and the overlay sheet go")] = Path("demo"),
    model: Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)] = DEFAULT_NAME,
) -> None:
    """Run on scikit-image's photographs and leave an overlay sheet to look at."""
    from ..bench.demo import demo

    demo(folder, model)
