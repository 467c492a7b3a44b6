"""Training of the papers' classifiers: CNN1, CNN2 and CNN3, fine-tuned in one of three ways (spec 1.1, 2.8)."""

from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from ..errors import UnseeError
from ..files import write_json
from .batches.classifier_config import ClassifierConfig
from .batches.samples import SampleReader, examination_batches, load, seed_of, training_batches
from .curves import CURVES_CSV, CURVES_PNG, FIGURES_FILE, draw_curves, write_curves
from .data.catalogue import open_dataset
from .data.datasets import Dataset, fingerprint
from .loop import Course, Training, autocast, rate_at, run_course, training_device
from .networks.checkpoints import Classifier, load_checkpoint, save_checkpoint
from .networks.metadata import InputSpec, Label, Metadata
from .networks.model_names import load_classifier
from .networks.preprocessing import Preprocessing
from .networks.zoo import CLASSIFIER_WEIGHTS, build_network
from .ranks import joined

RANDOM = "random:"
"""Before the name of a network that starts from random weights."""


def train_classifier(config: ClassifierConfig, console: Console | None = None) -> Classifier:
    """Train a classifier, or go on where a killed training stopped; save it in `config.output` and return it.

    Leaves beside the checkpoint its error figures (figures.json) and curves (CSV, and PNG where matplotlib is
    installed). Raises `UnseeError` on unusable data or settings.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    training_set = open_dataset(config.training)
    validation_set = open_dataset(config.validation, training_set.classes)
    _check_data(training_set, validation_set)
    with joined(config.device) as ranks, ranks.own_folder(config.output, "classifier"):
        device = training_device(config.device, ranks)
        classifier = start_of(config, training_set.classes)
        network = classifier.module.to(device).requires_grad_(True)
        readers = [SampleReader(data, config, classifier.metadata.input) for data in (training_set, validation_set)]
        training = Training(network, optimizer_of(network, classifier.metadata.network, config), [])
        run_course(_course(config, *readers), training, device, ranks, console or Console(quiet=True))
        if ranks.first:
            _save(config, training, replace(classifier, module=network.cpu()), (training_set, validation_set))
        ranks.wait()
    return load_checkpoint(config.output)


def start_of(config: ClassifierConfig, classes: tuple[str, ...]) -> Classifier:
    """Return the classifier that a training starts from: all but its last layer has the weights of `config.start`."""
    outputs = len(classes) * (2 if config.variant == "cnn3" else 1)
    torch.manual_seed(seed_of(config.seed, "weights"))
    if config.start.startswith(RANDOM):
        name, spec, origin = config.start.removeprefix(RANDOM), InputSpec(), "random weights"
        network = build_network(name, outputs)
    else:
        source = load_classifier(config.start)
        name, spec, origin = source.metadata.network, source.metadata.input, source.metadata.provenance
        network = build_network(name, outputs)
        last = last_layer(name)
        kept = {key: value for key, value in source.module.state_dict().items() if not key.startswith(last)}
        network.load_state_dict({**network.state_dict(), **kept})
    spec = replace(spec, size=config.input_size or spec.size)
    masked = tuple(f"masked {label}" for label in classes)
    names = {"cnn1": classes, "cnn2": masked, "cnn3": classes + masked}[config.variant]
    metadata = Metadata(name, spec, outputs, {"started from": origin})
    return Classifier(network, metadata, tuple(Label(label) for label in names))


def last_layer(network: str) -> str:
    """Return the prefix of the names of the classifier layer's tensors."""
    return CLASSIFIER_WEIGHTS[network].removesuffix("weight")


def optimizer_of(network: nn.Module, name: str, config: ClassifierConfig) -> torch.optim.Optimizer:
    """Return SGD with momentum over the layers that `config.finetune` trains; the others are frozen."""
    prefix = last_layer(name)
    last = [value for key, value in network.named_parameters() if key.startswith(prefix)]
    others = [value for key, value in network.named_parameters() if not key.startswith(prefix)]
    factor = config.last_factor if config.finetune == "last-faster" else 1.0
    groups: list[dict[str, Any]] = [{"params": last, "factor": factor}]
    if config.finetune == "last-only":
        for value in others:
            value.requires_grad_(False)
    else:
        groups.append({"params": others, "factor": 1.0})
    return torch.optim.SGD(groups, config.learning_rate, config.momentum, weight_decay=config.weight_decay)


def _course(config: ClassifierConfig, training: SampleReader, validation: SampleReader) -> Course:
    preprocess = Preprocessing(training.spec)

    def losses(network: nn.Module, loaded: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        pixels, nodes = loaded
        with autocast(config.precision, device):
            logits = network(preprocess(pixels.float()).to(device))
        return nn.functional.cross_entropy(logits.float(), nodes.to(device), reduction="sum")

    return Course(
        name=config.variant,
        output=config.output,
        digest=config.digest(),
        data=fingerprint(training.dataset),
        seed=config.seed,
        epochs=config.epochs,
        save_every=config.save_every,
        batches=lambda epoch: training_batches(len(training.dataset), config, epoch),
        load=lambda batches: load(training, batches, config.workers),
        losses=losses,
        rate=lambda position: rate_at(config.schedule, config.learning_rate, position),
        examine=lambda network, device: examine(network, validation, config, device),
        summary=lambda row: f", top-1 error {row['top-1']:.1%}",
    )


@torch.no_grad()
def examine(
    network: nn.Module, reader: SampleReader, config: ClassifierConfig, device: torch.device
) -> dict[str, float]:
    """Return the top-1 and top-5 error, 0..1, over a data set; with fewer than six nodes top-5 is all but the last."""
    network.eval()
    preprocess = Preprocessing(reader.spec)
    wrong = torch.zeros(2, dtype=torch.float64)
    batches = examination_batches(len(reader.dataset), config)
    for pixels, nodes in load(reader, batches, config.workers):
        logits = network(preprocess(pixels.float()).to(device)).cpu()
        best = logits.topk(min(5, logits.shape[1] - 1)).indices
        wrong[0] += (best[:, 0] != nodes).sum()
        wrong[1] += (best != nodes[:, None]).all(1).sum()
    top_1, top_5 = (wrong / sum(map(len, batches))).tolist()
    return {"top-1": top_1, "top-5": top_5}


def _save(config: ClassifierConfig, training: Training, classifier: Classifier, data: tuple[Dataset, Dataset]) -> None:
    last = training.curves[-1]
    figures = {
        "variant": config.variant,
        "finetune": config.finetune,
        "data": data[1].name,
        "images": {"training": len(data[0]), "validation": len(data[1])},
        "top-1": last["top-1"],
        "top-5": last["top-5"],
        "seconds": sum(row["seconds"] for row in training.curves),
    }
    provenance = {**classifier.metadata.provenance, "settings": config.settings(), "figures": figures}
    metadata = replace(classifier.metadata, provenance=provenance)
    write_curves(config.output / CURVES_CSV, training.curves)
    draw_curves(config.output / CURVES_PNG, training.curves)
    write_json(config.output / FIGURES_FILE, figures)
    save_checkpoint(config.output, replace(classifier, metadata=metadata))


def _check_data(training: Dataset, validation: Dataset) -> None:
    for data in (training, validation):
        if data.missing:
            raise UnseeError(
                f"{data.name}: {len(data.missing)} files are missing, such as {data.missing[0]}; see unsee train check"
            )
        if not data.items:
            raise UnseeError(f"{data.name}: no images")
    if training.classes != validation.classes or len(training.classes) < 2:
        raise UnseeError(f"{training.name} and {validation.name} must have the same classes, two or more")
