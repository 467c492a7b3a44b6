"""Finding a classifier by what a user calls it: a checkpoint directory, or the name of a network."""

import hashlib
from pathlib import Path

from .checkpoints import Classifier, load_checkpoint, load_weights
from .metadata import Label


def load_classifier(model: str | Path, weights: str | Path | None = None) -> Classifier:
    """Load a classifier from a checkpoint directory, or from a network's name and a foreign weight file.

    Raises `UnseeError` where neither exists or the weights do not fit.
    """
    if weights is not None:
        return load_weights(str(model), Path(weights), imagenet_labels())
    return load_checkpoint(Path(model))


def imagenet_labels() -> tuple[Label, ...] | None:
    """Return the 1000 ImageNet classes in torchvision's order where a shipped checkpoint has them."""
    return None


def fingerprint(classifier: Classifier) -> str:
    """Return `network-digest`, where the digest covers the input specification and every parameter's bytes."""
    digest = hashlib.sha256(repr(classifier.metadata.input).encode())
    for name, tensor in sorted(classifier.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{classifier.metadata.network}-{digest.hexdigest()[:12]}"
