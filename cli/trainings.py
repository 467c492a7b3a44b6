"""`unsee train ...`: the commands that train networks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..train.batches.classifier_config import ClassifierConfig, FineTuning, Precision, Schedule, Variant
from ..train.batches.distillation_config import DistillConfig
from ..train.data.catalogue import FORMS
from ..train.data.masking import Fill
from .map_trainings import attentional, promoter

DATA_HELP = f"data set: {', '.join(FORMS)}"

app = typer.Typer(help="Train networks.", no_args_is_help=True)


@app.callback()
def train() -> None:
    """Train networks."""


@app.command()
def distill(
    images: Annotated[list[Path], typer.Option(help="folder of photographs; may be given several times")],
    teacher: Annotated[list[Path], typer.Option(help="checkpoint directory of a teacher; may be given several times")],
    output: Annotated[Path, typer.Option(help="directory of the new checkpoint; the same command again resumes")],
    epochs: Annotated[int, typer.Option(help="passes over the photographs")] = DistillConfig.epochs,
    input_size: Annotated[
        int, typer.Option(help="side of the classifier's input in pixels")
    ] = DistillConfig.input_size,
    crops: Annotated[int, typer.Option(help="fixed crops of each photograph")] = DistillConfig.crops,
    held_out: Annotated[float, typer.Option(help="part of the photographs never trained on")] = DistillConfig.held_out,
    threads: Annotated[int, typer.Option(help="processor threads")] = DistillConfig.threads,
    seed: Annotated[int, typer.Option(help="seed of weights, order and augmentation")] = DistillConfig.seed,
    float32: Annotated[bool, typer.Option(help="for processors without bfloat16 instructions")] = False,
) -> None:
    """Train the small classifier from random weights by distillation from larger ones."""
    from ..train.distill import distill

    distill(
        DistillConfig(
            tuple(images), tuple(teacher), output, input_size=input_size, crops=crops, held_out=held_out,
            epochs=epochs, seed=seed, threads=threads, precision="float32" if float32 else "bfloat16",
        )
    )  # fmt: skip


@app.command()
def classifier(
    training: Annotated[str, typer.Option(help=DATA_HELP)],
    validation: Annotated[str, typer.Option(help="data set that errors are measured on, written likewise")],
    output: Annotated[Path, typer.Option(help="directory of the new checkpoint; the same command again resumes")],
    variant: Annotated[Variant, typer.Option(help="trained on images, on masked images, or on both")] = "cnn1",
    finetune: Annotated[
        FineTuning, typer.Option(help="all layers, all but the last one faster, the last only")
    ] = "all",
    start: Annotated[str, typer.Option(help="classifier to start from, or random:NETWORK")] = (ClassifierConfig.start),
    input_size: Annotated[int | None, typer.Option(help="side of the input in pixels [default: of the start]")] = None,
    epochs: Annotated[int, typer.Option(help="passes over the samples")] = ClassifierConfig.epochs,
    batch: Annotated[int, typer.Option(help="samples a step, of all processes together")] = ClassifierConfig.batch,
    learning_rate: Annotated[float, typer.Option(help="largest learning rate")] = ClassifierConfig.learning_rate,
    momentum: Annotated[float, typer.Option(help="of stochastic gradient descent")] = ClassifierConfig.momentum,
    weight_decay: Annotated[float, typer.Option(help="weight decay")] = ClassifierConfig.weight_decay,
    last_factor: Annotated[float, typer.Option(help="of the last layer's rate, for last-faster")] = (
        ClassifierConfig.last_factor
    ),
    schedule: Annotated[Schedule, typer.Option(help="of the learning rate")] = ClassifierConfig.schedule,
    augment: Annotated[bool, typer.Option(help="crop and mirror by chance")] = True,
    fill: Annotated[Fill, typer.Option(help="what masked objects become")] = ClassifierConfig.fill,
    seed: Annotated[int, typer.Option(help="seed of weights, order and augmentation")] = ClassifierConfig.seed,
    workers: Annotated[int, typer.Option(help="processes that read images")] = ClassifierConfig.workers,
    threads: Annotated[int | None, typer.Option(help="processor threads [default: all]")] = None,
    save_every: Annotated[int, typer.Option(help="steps between saved states")] = ClassifierConfig.save_every,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = ClassifierConfig.device,
    precision: Annotated[Precision, typer.Option(help="auto: bfloat16 on a GPU")] = ClassifierConfig.precision,
) -> None:
    """Fine-tune a classifier for method a or b; several GPUs: torchrun -m unsee train classifier ..."""
    from ..extras import require

    require("torch", "train", "training")
    from ..train.classifiers import train_classifier

    config = ClassifierConfig(
        training, validation, output, variant, finetune, start, input_size, epochs, batch, learning_rate, momentum,
        weight_decay, last_factor, schedule, augment, fill, seed, workers, threads, save_every, device, precision,
    )  # fmt: skip
    train_classifier(config, Console(stderr=True))
    _show([output])


app.command()(promoter)
app.command()(attentional)


@app.command()
def table(
    checkpoints: Annotated[list[Path], typer.Argument(help="directories of trained classifiers")],
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown")] = False,
) -> None:
    """Show the errors of trained classifiers side by side, as the papers do."""
    from ..train.curves import as_markdown, error_table

    if markdown:
        typer.echo(as_markdown(error_table(checkpoints)))
    else:
        _show(checkpoints)


@app.command()
def check(data: Annotated[str, typer.Argument(help=DATA_HELP)]) -> None:
    """Read every image of a data set; say how many there are of which class, and what is missing or unreadable."""
    from ..errors import VerificationError
    from ..train.data.catalogue import open_dataset
    from ..train.data.datasets import check

    dataset = open_dataset(data)
    found = check(dataset)
    console = Console()
    console.print(f"{dataset.name}: {found.images} images, {len(dataset.classes)} classes", markup=False)
    for name, count in found.classes.most_common():
        console.print(f"  {name}: {count}", markup=False)
    for kind, names in (("missing", found.missing), ("damaged", found.damaged), ("without objects", found.unlabelled)):
        for name in names:
            console.print(f"{kind}: {name}", markup=False, soft_wrap=True)
    if not found.sound:
        raise VerificationError(f"{dataset.name}: {len(found.missing)} files missing, {len(found.damaged)} damaged")


def _show(checkpoints: list[Path]) -> None:
    from ..train.curves import error_table

    head, *rows = error_table(checkpoints)
    shown = Table(*head, box=None)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
