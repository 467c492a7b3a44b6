"""`unsee train ...`: the commands that train networks."""

from pathlib import Path
from typing import Annotated

import typer

from .distillation_config import DistillConfig

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
    from .distill import distill

    distill(
        DistillConfig(
            tuple(images), tuple(teacher), output, input_size=input_size, crops=crops, held_out=held_out,
            epochs=epochs, seed=seed, threads=threads, precision="float32" if float32 else "bfloat16",
        )
    )  # fmt: skip
