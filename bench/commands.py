"""`unsee bench ...`: each benchmark runs its peers in the same process and prints one JSON line last."""

from typing import Annotated

import typer

from ..train.pretrained import DEFAULT_NAME

app = typer.Typer(help="Measure speed against peers; the last line printed is JSON.", no_args_is_help=True)
Rounds = Annotated[int, typer.Option(min=1, help="rounds; ratios are medians over them")]


@app.command()
def kernels(
    images: Annotated[str | None, typer.Option(help="folder of photographs [default: scikit-image's]")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    size: Annotated[int, typer.Option(min=8, help="side of the grid in pixels")] = 224,
    rounds: Rounds = 5,
) -> None:
    """Superpixels, post-processing and metrics against scikit-image and PySODMetrics."""
    from .kernels import bench_kernels

    bench_kernels(images, batch_size, size, rounds)


@app.command()
def pipeline(
    images: Annotated[str, typer.Option(help="folder of photographs")],
    model: Annotated[str, typer.Option("--model", "-m")] = DEFAULT_NAME,
    count: Annotated[int, typer.Option(min=1, help="photographs a round")] = 32,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    rounds: Rounds = 3,
) -> None:
    """From file to file, against the descent alone and the script a user would write."""
    from .pipeline import bench_pipeline

    bench_pipeline(images, model, count, rounds, batch_size)
