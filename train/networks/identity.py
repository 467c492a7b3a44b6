"""What tells one classifier from another: its input and every byte of its parameters."""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from .checkpoints import Classifier


def fingerprint(classifier: "Classifier") -> str:
    """Return `network-digest`, where the digest covers the input specification and every parameter's bytes."""
    digest = hashlib.sha256(repr(classifier.metadata.input).encode())
    for name, tensor in sorted(classifier.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{classifier.metadata.network}-{digest.hexdigest()[:12]}"


def source_files(module: "nn.Module") -> list[Path]:
    """Return the files with the code of a network's layers, without PyTorch's own, in order."""
    homes = {type(part).__module__ for part in module.modules()}
    found = (getattr(sys.modules.get(home), "__file__", None) for home in homes if home.partition(".")[0] != "torch")
    return sorted(Path(file) for file in found if file)
