"""Training of the promoter (paper C, Algorithm 1, spec 3.5) and of the attentional network (paper D, spec 4.4)."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from ..errors import UnseeError
from ..files import write_json
from .batches.image_mask_pairs import PairReader, open_pairs
from .batches.map_training_config import MapTrainingConfig, default_options
from .batches.samples import load, seed_of, shuffled_batches
from .classifiers import RANDOM
from .curves import CURVES_CSV, CURVES_PNG, FIGURES_FILE, draw_curves, write_curves
from .data.datasets import fingerprint
from .first_stage import FirstStage
from .loop import Course, Training, rate_at, run_course, training_device
from .map_scores import adaptive_f_measure, mean_absolute_error
from .networks.maps.backbones import PLANS
from .networks.maps.mapper_metadata import MapMetadata
from .networks.maps.mappers import (
    LoadedMapNetwork,
    Network,
    PixelMapper,
    build_map_network,
    load_map_network,
    save_map_network,
)
from .networks.metadata import InputSpec
from .networks.model_names import load_classifier
from .ranks import joined


def train_map_network(config: MapTrainingConfig, console: Console | None = None) -> LoadedMapNetwork:
    """Train a network, or go on where a killed training stopped; save it in `config.output` and return it.

    Leaves beside the checkpoint its figures (figures.json) and curves (CSV, and PNG where matplotlib is installed).
    Raises `UnseeError` on unusable data or settings.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    training_set = open_pairs(config.training, config)
    validation_set = None if config.validation is None else open_pairs(config.validation, config)
    with joined(config.device) as ranks, ranks.own_folder(config.output, config.kind):
        device = training_device(config.device, ranks)
        mapper, console = start_of(config).to(device), console or Console(quiet=True)
        if config.first_stage_epochs:
            stage = FirstStage(mapper.network.backbone).to(device)
            course = _first_course(config, mapper, training_set)
            run_course(course, Training(stage, optimizer_of(stage, config), []), device, ranks, console)
        training = Training(mapper.network, optimizer_of(mapper.network, config), [])
        run_course(_course(config, mapper, training_set, validation_set), training, device, ranks, console)
        if ranks.first:
            _save(config, training, mapper.cpu(), (training_set, validation_set))
        ranks.wait()
    return load_map_network(config.output)


def start_of(config: MapTrainingConfig) -> PixelMapper:
    """Return the network that a training starts from: a backbone with the weights of `config.start`, new layers behind."""
    torch.manual_seed(seed_of(config.seed, "weights"))
    source = None if config.start.startswith(RANDOM) else load_classifier(config.start)
    name = config.start.removeprefix(RANDOM) if source is None else source.metadata.network
    if name not in PLANS:
        raise UnseeError(f"{config.start}: no backbone; start from one of {', '.join(PLANS)}")
    spec = replace(InputSpec() if source is None else source.metadata.input, size=config.side)
    origin: Any = "random weights" if source is None else source.metadata.provenance
    options = default_options(config.kind, name, config.options)
    metadata = MapMetadata(config.kind, config.preset_name, name, spec, options, {"started from": origin})
    mapper = build_map_network(metadata)
    if source is not None:
        mapper.network.backbone.start_from(source)
    return mapper


def optimizer_of(network: Network | FirstStage, config: MapTrainingConfig) -> torch.optim.Optimizer:
    """Return Adam with a rate for the new layers and one for the backbone, which is frozen where that is 0."""
    backbone = list(network.backbone.parameters())
    new = [value for name, value in network.named_parameters() if not name.startswith("backbone.")]
    groups: list[dict[str, Any]] = [{"params": new, "factor": 1.0}]
    if config.backbone_rate:
        groups.append({"params": backbone, "factor": config.backbone_rate / config.learning_rate})
    else:
        network.backbone.requires_grad_(False)
    return torch.optim.Adam(groups, config.learning_rate)


def losses_of(mapper: PixelMapper, network: nn.Module, loaded: tuple[Tensor, ...], device: torch.device) -> Tensor:
    """Return the loss: binary cross-entropy with clean labels, averaged over pixels, summed over images and levels.

    network: that of the mapper, or several processes' wrapper of it. loaded: a batch of `PairReader`.
    """
    pixels, labels, weights = (values.to(device).float() for values in loaded)
    image = mapper.preprocess(pixels)
    levels = network(image) if mapper.metadata.kind == "attentional" else [network(image, weights / 255)]
    return torch.stack([_cross_entropy(logits, labels) for logits in levels]).sum()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    wanted = nn.functional.adaptive_avg_pool2d(labels, logits.shape[-1])
    return nn.functional.binary_cross_entropy_with_logits(logits, wanted) * len(logits)


@torch.no_grad()
def examine(mapper: PixelMapper, reader: PairReader | None, config: MapTrainingConfig) -> dict[str, float]:
    """Return mean absolute error and mean F-measure at the adaptive threshold (spec 0.5) over a data set."""
    if reader is None:
        return {}
    mapper.eval()
    device, numbers = mapper.preprocess.mean.device, torch.arange(len(reader.dataset))
    batches = [[(number, -1) for number in part.tolist()] for part in numbers.split(config.batch)]
    totals = torch.zeros(2, dtype=torch.float64)
    for loaded in load(reader, batches, config.workers):
        pixels, labels, weights = (values.to(device).float() for values in loaded)
        maps = mapper(pixels, weights / 255)
        totals[0] += mean_absolute_error(maps, labels).sum().cpu()
        totals[1] += adaptive_f_measure(maps, labels).sum().cpu()
    error, measure = (totals / len(numbers)).tolist()
    return {"MAE": error, "F": measure}


def _course(
    config: MapTrainingConfig, mapper: PixelMapper, training: PairReader, validation: PairReader | None
) -> Course:
    numbers = torch.arange(len(training.dataset))
    return Course(
        name=config.kind,
        output=config.output,
        digest=config.digest(),
        data=fingerprint(training.dataset),
        seed=config.seed,
        epochs=config.epochs,
        save_every=config.save_every,
        batches=lambda epoch: shuffled_batches(numbers, config.batch, config.seed, epoch),
        load=lambda batches: load(training, batches, config.workers),
        losses=partial(losses_of, mapper),
        rate=lambda position: rate_at(config.schedule, config.learning_rate, position),
        examine=lambda network, device: examine(mapper, validation, config),  # noqa: ARG005
        summary=lambda row: "".join(f", {name} {row[name]:.3f}" for name in ("F", "MAE") if name in row),
    )


def _first_course(config: MapTrainingConfig, mapper: PixelMapper, reader: PairReader) -> Course:
    """Return the first stage: the same samples and rates, a folder of its own for what is needed to go on."""

    def losses(network: nn.Module, loaded: tuple[Tensor, ...], device: torch.device) -> Tensor:
        pixels, labels = (values.to(device).float() for values in loaded[:2])
        return _cross_entropy(network(mapper.preprocess(pixels)), labels)

    return replace(
        _course(config, mapper, reader, None),
        name="first stage",
        output=config.output / "first-stage",
        seed=seed_of(config.seed, "first stage"),
        epochs=config.first_stage_epochs,
        losses=losses,
    )


def _save(
    config: MapTrainingConfig,
    training: Training,
    mapper: PixelMapper,
    data: tuple[PairReader, PairReader | None],
) -> None:
    last = training.curves[-1]
    figures = {
        "kind": config.kind,
        "images": {"training": len(data[0].dataset), "validation": len(data[1].dataset) if data[1] else 0},
        "loss": last["loss"],
        **{name: last[name] for name in ("F", "MAE") if name in last},
        "seconds": sum(row["seconds"] for row in training.curves),
    }
    metadata = mapper.metadata
    provenance = {**metadata.provenance, "settings": config.settings(), "figures": figures}
    write_curves(config.output / CURVES_CSV, training.curves)
    names = [name for name in ("F", "MAE") if name in last]
    draw_curves(config.output / CURVES_PNG, training.curves, names, "validation, %")
    write_json(config.output / FIGURES_FILE, figures)
    save_map_network(config.output, mapper, replace(metadata, provenance=provenance))
