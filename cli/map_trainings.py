"""`unsee train promoter` and `unsee train attentional`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..train.batches.classifier_config import Schedule
from ..train.batches.map_training_config import MapTrainingConfig as Config
from ..train.data.catalogue import FORMS
from ..train.networks.mapper_metadata import Kind, Preset, Region
from .records import with_record

TrainingData = Annotated[
    list[str], typer.Option("--training", help=f"data set: {', '.join(FORMS)}; several may be given")
]
Output = Annotated[Path, typer.Option(help="directory of the new checkpoint; the same command again resumes")]


@dataclass(frozen=True)
class SharedOptions:
    """What both trainings have; see `MapTrainingConfig`, and for `grid` and `iterations` the networks' options."""

    validation: Annotated[str | None, typer.Option(help="data set that is examined after each epoch")] = None
    start: Annotated[str, typer.Option(help="classifier whose convolutions it starts from, or random:NETWORK")] = (
        Config.start
    )
    input_size: Annotated[int | None, typer.Option(help="side of the input in pixels [default: the paper's]")] = None
    grid: Annotated[int | None, typer.Option(help="pixels a side of the finest features [default: by backbone]")] = None
    iterations: Annotated[int | None, typer.Option(help="T of the paper")] = None
    epochs: Annotated[int, typer.Option(help="passes over the images")] = Config.epochs
    batch: Annotated[int, typer.Option(help="images a step, of all processes together")] = Config.batch
    learning_rate: Annotated[float, typer.Option(help="largest rate of the new layers")] = Config.learning_rate
    backbone_rate: Annotated[float, typer.Option(help="largest rate of the backbone; 0 freezes it")] = (
        Config.backbone_rate
    )
    schedule: Annotated[Schedule, typer.Option(help="of the learning rates")] = Config.schedule
    augment: Annotated[bool, typer.Option(help="crop and mirror by chance")] = Config.augment
    smallest_crop: Annotated[float, typer.Option(help="least part of each side that a crop keeps")] = (
        Config.smallest_crop
    )
    largest_crop: Annotated[float, typer.Option(help="largest part of each side that a crop keeps")] = (
        Config.largest_crop
    )
    vary_colors: Annotated[bool, typer.Option(help="change colours by chance (not in the papers)")] = Config.vary_colors
    seed: Annotated[int, typer.Option(help="seed of weights, order, augmentation and flipped labels")] = Config.seed
    workers: Annotated[int, typer.Option(help="processes that read images")] = Config.workers
    threads: Annotated[int | None, typer.Option(help="processor threads [default: all]")] = None
    save_every: Annotated[int, typer.Option(help="steps between saved states")] = Config.save_every
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = Config.device

    def configured(self, kind: Kind, training: list[str], output: Path, preset: Preset, **network: Any) -> Config:
        """Return a configuration with these; network: constants of the network, its own where None."""
        given = vars(self) | network
        constants = {name: given.pop(name) for name in ("grid", "iterations", *network)}
        options = {name: value for name, value in constants.items() if value is not None}
        return Config(kind, tuple(training), output, preset=preset, options=options, **given)


@with_record("shared", SharedOptions, epochs=28, batch=1)
def promoter(
    training: TrainingData,
    output: Output,
    shared: SharedOptions,
    preset: Annotated[Preset, typer.Option(help="paper, or release as the authors' code")] = "paper",
    region: Annotated[Region, typer.Option(help="embed regions before (conv) or after averaging (fc)")] = "conv",
    channels: Annotated[int | None, typer.Option(help="C, of every block after upsampling")] = None,
    embedding: Annotated[int | None, typer.Option(help="D, of the space of pixels and anchors")] = None,
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
) -> None:
    """Train a promoter, which lifts the maps of any method (paper C)."""
    config = shared.configured(
        "promoter", training, output, preset, region=region, channels=channels, embedding=embedding
    )
    _train(
        replace(
            config,
            flip=flip,
            priors=tuple(priors or ()),
            prior_share=prior_share,
            first_stage_epochs=first_stage_epochs,
        )
    )


@with_record("shared", SharedOptions, learning_rate=1e-4)
def attentional(
    training: TrainingData,
    output: Output,
    shared: SharedOptions,
    pooled_keys: Annotated[
        int | None, typer.Option(help="side of the cells that the finest level attends to; 1 is exact")
    ] = None,
    deep_supervision: Annotated[bool, typer.Option(help="a further loss at every level")] = False,
) -> None:
    """Train an attentional recurrent network, which makes maps in one pass (paper D)."""
    network = {"pooled_keys": pooled_keys, "deep_supervision": deep_supervision}
    _train(shared.configured("attentional", training, output, "default", **network))


def _train(config: Config) -> None:
    from ..extras import require

    require("torch", "train", "training")
    from ..train.map_training import train_map_network

    train_map_network(config, Console(stderr=True))
