"""`unsee train promoter` and `unsee train attentional`."""

from typing import Annotated

import typer
from rich.console import Console

from ..train.batches.map_training_config import MapTrainingConfig
from ..train.networks.maps.mapper_metadata import AttentionalOptions, Preset, PromoterOptions
from .records import Flag, Maker, with_record

PROMOTERS_OWN = ("flip", "priors", "prior_share", "first_stage_epochs")
FLAGS = {"training": Flag(("--training",))}


@with_record("config", MapTrainingConfig, flags=FLAGS, epochs=28, batch=1)
@with_record("network", PromoterOptions, optional=True)
def promoter(
    config: Maker[MapTrainingConfig],
    network: Maker[PromoterOptions],
    preset: Annotated[Preset, typer.Option(help="paper, or release as the authors' code")] = "paper",
) -> None:
    """Train a promoter, which lifts the maps of any method (paper C)."""
    _train(config(kind="promoter", preset=preset, options=network.given))


@with_record("config", MapTrainingConfig, PROMOTERS_OWN, FLAGS, learning_rate=1e-4)
@with_record("network", AttentionalOptions, optional=True)
def attentional(config: Maker[MapTrainingConfig], network: Maker[AttentionalOptions]) -> None:
    """Train an attentional recurrent network, which makes maps in one pass (paper D)."""
    _train(config(kind="attentional", preset="default", options=network.given))


def _train(config: MapTrainingConfig) -> None:
    from ..extras import require

    require("torch", "train", "training")
    from ..train.map_training import train_map_network

    train_map_network(config, Console(stderr=True))
