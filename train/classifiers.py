"""Training of the papers' classifiers: CNN1, CNN2 and CNN3, fine-tuned in one of three ways (spec 1.1, 2.8).

All chance follows from the seed and the step, so a training that was killed and goes on gives the weights of an
undisturbed one: bit for bit on a CPU with the same number of threads. Under torchrun every process takes its part of
each batch.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from ..errors import DeviceUnavailableError, UnseeError
from ..files import write_json
from .catalogue import open_dataset
from .checkpoints import Classifier, load_checkpoint, save_checkpoint
from .classifier_config import ClassifierConfig
from .curves import CURVES_CSV, CURVES_PNG, FIGURES_FILE, draw_curves, write_curves
from .datasets import Dataset
from .input_gradient import preprocess
from .metadata import InputSpec, Label, Metadata
from .models import load_classifier
from .networks import CLASSIFIER_WEIGHTS, build_network
from .ranks import Ranks, joined
from .samples import Batches, SampleReader, examination_batches, load, seed_of, training_batches
from .training_state import load_state, save_state

STATE_FILE = "training.pt"
LARGEST_GRADIENT = 10.0
RANDOM = "random:"
"""Before the name of a network that starts from random weights."""


@dataclass
class Training:
    """A training in progress. step: steps done, in this epoch. curves: a row of figures per finished epoch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    curves: list[dict[str, Any]]
    epoch: int = 0
    step: int = 0
    loss: float = 0.0

    def state(self, config: ClassifierConfig) -> dict[str, Any]:
        """Return all that a later process needs to go on."""
        place = {"epoch": self.epoch, "step": self.step, "loss": self.loss, "curves": self.curves}
        weights = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {"config": config.digest(), **place, **weights}

    def resume(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step, self.loss, self.curves = (state[name] for name in ("epoch", "step", "loss", "curves"))


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
    with joined() as ranks:
        device = _device(config.device, ranks)
        classifier = start_of(config, training_set.classes)
        network = classifier.module.to(device).requires_grad_(True)
        readers = [SampleReader(data, config, classifier.metadata.input) for data in (training_set, validation_set)]
        training = Training(network, optimizer_of(network, classifier.metadata.network, config), [])
        state = load_state(config.output / STATE_FILE, config.digest())
        if state:
            training.resume(state)
        console = console if console is not None and ranks.first else Console(quiet=True)
        _run(config, training, readers, device, ranks, console)
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


def rate_at(config: ClassifierConfig, position: float) -> float:
    """Return the learning rate at `position` (0..1) of the training."""
    if config.schedule == "cosine":
        return config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * position))
    return config.learning_rate * (0.1 ** int(3 * position) if config.schedule == "steps" else 1.0)


def _run(
    config: ClassifierConfig,
    training: Training,
    readers: list[SampleReader],
    device: torch.device,
    ranks: Ranks,
    console: Console,
) -> None:
    """Train for the epochs that are left."""
    images = len(readers[0].dataset)
    steps = len(training_batches(images, config, 0))
    model = ranks.wrapped(training.network)
    with _progress(console) as bars:
        done = training.epoch * steps + training.step
        task = bars.add_task(f"training {config.variant}", total=config.epochs * steps, completed=done)
        while training.epoch < config.epochs:
            started = time.monotonic()
            batches = training_batches(images, config, training.epoch)
            for _ in _epoch(config, training, model, readers[0], batches, device, ranks):
                bars.advance(task)
            figures = examine(training.network, readers[1], config, device)
            seconds = time.monotonic() - started
            row = {"epoch": training.epoch + 1, "loss": training.loss / steps, "seconds": seconds, **figures}
            training.curves.append(row)
            training.epoch, training.step, training.loss = training.epoch + 1, 0, 0.0
            if ranks.first:
                save_state(config.output / STATE_FILE, training.state(config))
            console.print(f"epoch {row['epoch']}: loss {row['loss']:.3f}, top-1 error {row['top-1']:.1%}")


def _epoch(
    config: ClassifierConfig,
    training: Training,
    model: nn.Module,
    reader: SampleReader,
    batches: Batches,
    device: torch.device,
    ranks: Ranks,
) -> Iterator[None]:
    """Take the steps of an epoch that are left, saving the state now and then."""
    total, left = len(batches), batches[training.step :]
    own = [ranks.part(batch) for batch in left]
    training.network.train()
    for batch, (pixels, nodes) in zip(left, load(reader, own, config.workers), strict=True):
        position = (training.epoch + training.step / total) / config.epochs
        for group in training.optimizer.param_groups:
            group["lr"] = rate_at(config, position) * group["factor"]
        torch.manual_seed(seed_of(config.seed, "dropout", training.epoch, training.step, ranks.rank))
        with _autocast(config, device):
            logits = model(preprocess(pixels.float(), reader.spec).to(device))
        losses = nn.functional.cross_entropy(logits.float(), nodes.to(device), reduction="sum")
        loss = losses * ranks.count / len(batch)  # processes average their gradients, whatever the sizes of their parts
        training.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        training.optimizer.step()
        training.loss += ranks.mean(loss.detach())
        training.step += 1
        if ranks.first and training.step % config.save_every == 0:
            save_state(config.output / STATE_FILE, training.state(config))
        yield


@torch.no_grad()
def examine(
    network: nn.Module, reader: SampleReader, config: ClassifierConfig, device: torch.device
) -> dict[str, float]:
    """Return the top-1 and top-5 error, 0..1, over a data set; with fewer than six nodes top-5 is all but the last."""
    network.eval()
    wrong = torch.zeros(2, dtype=torch.float64)
    batches = examination_batches(len(reader.dataset), config)
    for pixels, nodes in load(reader, batches, config.workers):
        logits = network(preprocess(pixels.float(), reader.spec).to(device)).cpu()
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


def _device(wanted: str, ranks: Ranks) -> torch.device:
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceUnavailableError(f"{wanted} was asked for, but PyTorch sees no CUDA device")
    return torch.device("cuda", ranks.local_rank) if wanted in ("auto", "cuda") else torch.device(wanted)


def _autocast(config: ClassifierConfig, device: torch.device) -> torch.autocast:
    wanted = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)
