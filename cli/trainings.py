"""`unsee train ...`: the commands that train networks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..train.batches.classifier_config import ClassifierConfig
from ..train.batches.distillation_config import DistillConfig
from ..train.data.catalogue import DATA_HELP
from .map_trainings import attentional, promoter
from .records import Flag, Maker, with_record
from .student_training import student

app = typer.Typer(help="Train networks.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def train() -> None:
    """Train networks."""


@app.command()
@with_record("config", DistillConfig, flags={"teachers": Flag(("--teacher",))})
def distill(
    config: Maker[DistillConfig],
    float32: Annotated[bool, typer.Option(help="for processors without bfloat16 instructions")] = False,
) -> None:
    """Train the small classifier from random weights by distillation from larger ones."""
    from ..extras import require

    require("torch", "train", "training")
    from ..train.distill import distill

    distill(config(precision="float32" if float32 else "bfloat16"), Console(stderr=True))


@app.command()
@with_record("config", ClassifierConfig)
def classifier(config: Maker[ClassifierConfig]) -> None:
    """Fine-tune a classifier for method a or b; several GPUs: torchrun -m unsee train classifier ..."""
    from ..extras import require

    require("torch", "train", "training")
    from ..train.classifiers import train_classifier

    made = config()
    train_classifier(made, Console(stderr=True))
    _show([made.output])


app.command()(promoter)
app.command()(attentional)
app.command()(student)


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
