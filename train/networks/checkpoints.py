"""Classifier checkpoints: a directory with model.json, weights.safetensors and labels.json (design: no pickles)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...errors import UnseeError, first_line
from ...files import atomic_path, write_json
from .metadata import (
    LABELS_FILE,
    MODEL_FILE,
    WEIGHTS_FILE,
    InputSpec,
    Label,
    Metadata,
    labels_to_json,
    numbered_labels,
    read_labels,
    read_metadata,
)
from .zoo import CLASSIFIER_WEIGHTS, INPUTS, build_network


@dataclass(frozen=True)
class Classifier:
    """A frozen network in eval mode with its metadata and labels; `module` maps a preprocessed image to logits."""

    module: nn.Module
    metadata: Metadata
    labels: tuple[Label, ...]


def load_checkpoint(directory: Path) -> Classifier:
    """Load a checkpoint directory; weights of any floating type become float32.

    Raises `UnseeError` naming every missing or unexpected tensor and every wrong shape.
    """
    metadata = read_metadata(directory / MODEL_FILE)
    labels = read_labels(directory / LABELS_FILE, metadata.classes)
    return _classifier(read_weights(directory / WEIGHTS_FILE), metadata, labels)


def load_weights(network: str, weights: Path, labels: tuple[Label, ...] | None = None) -> Classifier:
    """Load a foreign weight file (.safetensors, or .pth read with weights_only) into a network of `NETWORKS`.

    The input is torchvision's unless `INPUTS` has another; the number of classes is read off the classifier layer.
    """
    tensors = read_weights(weights)
    build_network(network, 1)
    head = tensors.get(CLASSIFIER_WEIGHTS[network])
    if head is None:
        raise UnseeError(f"{weights}: no tensor {CLASSIFIER_WEIGHTS[network]!r}: not the weights of {network}")
    classes = head.shape[0]
    metadata = Metadata(network, INPUTS.get(network, InputSpec()), classes, {"origin": weights.name})
    return _classifier(tensors, metadata, labels if labels and len(labels) == classes else numbered_labels(classes))


def save_checkpoint(directory: Path, classifier: Classifier, dtype: torch.dtype = torch.float32) -> None:
    """Write a checkpoint directory; `dtype` is that of the stored weights. The description is written last."""
    directory.mkdir(parents=True, exist_ok=True)
    write_weights(directory / WEIGHTS_FILE, classifier.module, dtype)
    write_json(directory / LABELS_FILE, labels_to_json(classifier.labels))
    write_json(directory / MODEL_FILE, classifier.metadata.to_json())


def write_weights(path: Path, module: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Write the tensors of a module as a .safetensors file; floating ones as `dtype`."""
    tensors = {name: _stored(tensor, dtype) for name, tensor in module.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary)  # which makes files that their owner alone may read
        temporary.chmod(mode)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file, or any other one with `torch.load(weights_only=True)`, as float32 tensors by name."""
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise UnseeError(f"{path}: damaged weights ({first_line(error)})") from None
    except Exception as error:  # pickle.UnpicklingError and whatever a hostile pickle can raise
        raise UnseeError(f"{path}: not a plain weight file ({type(error).__name__})") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UnseeError(f"{path}: expected a state dictionary of tensors, got {type(tensors).__name__}")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _classifier(tensors: dict[str, Tensor], metadata: Metadata, labels: tuple[Label, ...]) -> Classifier:
    with torch.device("meta"):  # no time is spent on random values that the weights replace
        module = build_network(metadata.network, metadata.classes)
    _check_input(module, metadata)
    module.load_state_dict(matched_weights(tensors, module.state_dict(), metadata.network), assign=True)
    return Classifier(module.eval().requires_grad_(False), metadata, labels)


def _check_input(module: nn.Module, metadata: Metadata) -> None:
    """Refuse an input that is too small for a network; on the device `meta` shapes are computed and nothing else."""
    size = metadata.input.size
    try:
        logits = module.eval()(torch.zeros(1, 3, size, size, device="meta"))
    except RuntimeError as error:
        raise UnseeError(f"input size {size} does not fit {metadata.network} ({first_line(error)})") from None
    if logits.shape != (1, metadata.classes):
        raise UnseeError(f"{metadata.network} makes {list(logits.shape)} of an image, not {metadata.classes} logits")


def matched_weights(tensors: dict[str, Tensor], expected: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    """Return the tensors if names and shapes fit, else `UnseeError`; batch counters, unused in inference, may lack."""
    counters = {name: torch.zeros((), dtype=torch.long) for name in expected if name.endswith("num_batches_tracked")}
    tensors = counters | tensors
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    problems = [
        f"{what}: {_some(names)}"
        for what, names in [("missing", missing), ("unexpected", extra), ("shape", shapes)]
        if names
    ]
    if problems:
        raise UnseeError(f"the weights do not fit {network}: {'; '.join(problems)}")
    return tensors


def _some(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).contiguous() if tensor.is_floating_point() else tensor.contiguous()
