"""`unsee train promoter` and `unsee train attentional`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from .catalogue import FORMS
from .classifier_config import Schedule
from .map_metadata import Preset, Region
from .map_training_config import MapTrainingConfig as Config

TrainingData = Annotated[
    list[str], typer.Option("--training", help=f"data set: {', '.join(FORMS)}; several may be given")
]
Output = Annotated[Path, typer.Option(help="directory of the new checkpoint; the same command again resumes")]
Validation = Annotated[str | None, typer.Option(help="data set that is examined after each epoch")]
Start = Annotated[str, typer.Option(help="classifier whose convolutions it starts from, or random:NETWORK")]
InputSize = Annotated[int | None, typer.Option(help="side of the input in pixels [default: the paper's]")]
Grid = Annotated[int | None, typer.Option(help="pixels a side of the finest features [default: by backbone]")]
Iterations = Annotated[int | None, typer.Option(help="T of the paper")]
Epochs = Annotated[int, typer.Option(help="passes over the images")]
Batch = Annotated[int, typer.Option(help="images a step, of all processes together")]
LearningRate = Annotated[float, typer.Option(help="largest rate of the new layers")]
BackboneRate = Annotated[float, typer.Option(help="largest rate of the backbone; 0 freezes it")]
Rates = Annotated[Schedule, typer.Option(help="of the learning rates")]
Augment = Annotated[bool, typer.Option(help="crop and mirror by chance")]
SmallestCrop = Annotated[float, typer.Option(help="least part of each side that a crop keeps")]
LargestCrop = Annotated[float, typer.Option(help="largest part of each side that a crop keeps")]
VaryColors = Annotated[bool, typer.Option(help="change colours by chance (not in the papers)")]
Seed = Annotated[int, typer.Option(help="seed of weights, order, augmentation and flipped labels")]
Workers = Annotated[int, typer.Option(help="processes that read images")]
Threads = Annotated[int | None, typer.Option(help="processor threads [default: all]")]
SaveEvery = Annotated[int, typer.Option(help="steps between saved states")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]


def promoter(
    training: TrainingData,
    output: Output,
    validation: Validation = None,
    preset: Annotated[Preset, typer.Option(help="paper, or release as the authors' code")] = "paper",
    start: Start = Config.start,
    input_size: InputSize = None,
    grid: Grid = None,
    region: Annotated[Region, typer.Option(help="embed regions before (conv) or after averaging (fc)")] = "conv",
    channels: Annotated[int | None, typer.Option(help="C, of every block after upsampling")] = None,
    embedding: Annotated[int | None, typer.Option(help="D, of the space of pixels and anchors")] = None,
    iterations: Iterations = None,
    flip: Annotated[float, typer.Option(help="part of the labels that regions get wrong")] = Config.flip,
    priors: Annotated[
        list[Path] | None, typer.Option(help="folder of maps by the images' names; validation promotes the first")
    ] = None,
    prior_share: Annotated[
        float, typer.Option(help="part of the samples whose regions are priors, not flipped labels (not in the paper)")
    ] = Config.prior_share,
    first_stage_epochs: Annotated[
        int, typer.Option(help="passes in which the features learn behind a decoder first (not in the paper)")
    ] = Config.first_stage_epochs,
    epochs: Epochs = 28,
    batch: Batch = 1,
    learning_rate: LearningRate = 1e-3,
    backbone_rate: BackboneRate = 1e-4,
    schedule: Rates = "constant",
    augment: Augment = True,
    smallest_crop: SmallestCrop = Config.smallest_crop,
    largest_crop: LargestCrop = Config.largest_crop,
    vary_colors: VaryColors = False,
    seed: Seed = Config.seed,
    workers: Workers = Config.workers,
    threads: Threads = None,
    save_every: SaveEvery = Config.save_every,
    device: Device = Config.device,
) -> None:
    """Train a promoter, which lifts the maps of any method (paper C)."""
    options = _given(grid=grid, region=region, channels=channels, embedding=embedding, iterations=iterations)
    _train(
        Config(
            "promoter", tuple(training), output, validation, preset, start, input_size, options, epochs, batch,
            learning_rate, backbone_rate, schedule, augment, smallest_crop, largest_crop, vary_colors, flip,
            tuple(priors or ()), prior_share, first_stage_epochs, seed, workers, threads, save_every, device,
        )
    )  # fmt: skip


def attentional(
    training: TrainingData,
    output: Output,
    validation: Validation = None,
    start: Start = Config.start,
    input_size: InputSize = None,
    grid: Grid = None,
    pooled_keys: Annotated[
        int | None, typer.Option(help="side of the cells that the finest level attends to; 1 is exact")
    ] = None,
    iterations: Iterations = None,
    deep_supervision: Annotated[bool, typer.Option(help="a further loss at every level")] = False,
    epochs: Epochs = 20,
    batch: Batch = 8,
    learning_rate: LearningRate = 1e-4,
    backbone_rate: BackboneRate = 1e-4,
    schedule: Rates = "constant",
    augment: Augment = True,
    smallest_crop: SmallestCrop = Config.smallest_crop,
    largest_crop: LargestCrop = Config.largest_crop,
    vary_colors: VaryColors = False,
    seed: Seed = Config.seed,
    workers: Workers = Config.workers,
    threads: Threads = None,
    save_every: SaveEvery = Config.save_every,
    device: Device = Config.device,
) -> None:
    """Train an attentional recurrent network, which makes maps in one pass (paper D)."""
    options = _given(grid=grid, pooled_keys=pooled_keys, iterations=iterations, deep_supervision=deep_supervision)
    _train(
        Config(
            "attentional", tuple(training), output, validation, "default", start, input_size, options, epochs, batch,
            learning_rate, backbone_rate, schedule, augment, smallest_crop, largest_crop, vary_colors, seed=seed,
            workers=workers, threads=threads, save_every=save_every, device=device,
        )
    )  # fmt: skip


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _train(config: Config) -> None:
    from ..extras import require

    require("torch", "train", "training")
    from .map_training import train_map_network

    train_map_network(config, Console(stderr=True))
