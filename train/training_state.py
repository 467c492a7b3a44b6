"""The checkpoint of a training in progress: written atomically, read without running pickled code."""

from pathlib import Path
from typing import Any

import torch

from ..errors import OutputError, UnseeError, first_line
from ..files import atomic_path

STATE_FILE = "training.pt"


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values (state dictionaries included) to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
    except RuntimeError as error:  # PyTorch's word for what the system refuses
        raise OutputError(f"{path}: cannot be written ({first_line(error)})") from error


def load_state(path: Path, config: str, data: str = "") -> dict[str, Any] | None:
    """Return the state in `path`, None where there is none; one of another configuration, or of other data, is an error.

    data: what the data are known by; states of before these were marked have none.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or foreign file can raise
        raise UnseeError(f"{path}: not a training state ({type(error).__name__}); delete it to start anew") from None
    if state.get("config") != config:
        raise UnseeError(f"{path}: left by a training with other settings; delete it or choose another --output")
    if state.get("data", data) != data:
        raise UnseeError(
            f"{path}: left by a training on other data: images have come or gone, or files have changed; "
            "delete it or choose another --output"
        )
    return state
