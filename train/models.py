"""Finding a classifier by what a user calls it: a checkpoint directory, a shipped one's name, or an official network."""

import hashlib
from pathlib import Path

from ..errors import UnseeError
from .checkpoints import LABELS_FILE, Classifier, load_checkpoint, load_weights
from .downloads import OFFICIAL_FILES, official_weights
from .metadata import MODEL_FILE, Label, read_labels
from .pretrained import DEFAULT_NAME, pretrained_directory, pretrained_names


def load_classifier(model: str | Path = DEFAULT_NAME, weights: str | Path | None = None) -> Classifier:
    """Load a classifier.

    model: a checkpoint directory; the name of a shipped checkpoint; the name of a network whose official weights are in
    the cache or can be downloaded; with `weights`, the network of that weight file. Raises `UnseeError` where there is
    no such model or its weights do not fit.
    """
    name = str(model)
    if weights is not None:
        return load_weights(name, Path(weights), imagenet_labels())
    if (Path(model) / MODEL_FILE).exists():
        return load_checkpoint(Path(model))
    shipped = pretrained_directory(name)
    if shipped:
        return load_checkpoint(shipped)
    if name in OFFICIAL_FILES:
        return load_weights(name, official_weights(name), imagenet_labels())
    names = ", ".join([*pretrained_names(), *OFFICIAL_FILES])
    raise UnseeError(f"{name}: neither a checkpoint directory (no {MODEL_FILE} in it) nor one of {names}")


def imagenet_labels() -> tuple[Label, ...] | None:
    """Return the 1000 ImageNet classes in torchvision's order, which the shipped checkpoint has; None without it."""
    shipped = pretrained_directory(DEFAULT_NAME)
    return read_labels(shipped / LABELS_FILE, 1000) if shipped else None


def fingerprint(classifier: Classifier) -> str:
    """Return `network-digest`, where the digest covers the input specification and every parameter's bytes."""
    digest = hashlib.sha256(repr(classifier.metadata.input).encode())
    for name, tensor in sorted(classifier.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{classifier.metadata.network}-{digest.hexdigest()[:12]}"
