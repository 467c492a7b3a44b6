"""The logits in what a classifier returns, and what follows from one look at them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UnseeError, first_line


def logits_of(output: Any) -> Tensor:
    """Return the logits in what a network returns: a tensor, what is called `logits` in it, or the only tensor in it."""
    if isinstance(output, Tensor):
        return output
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(found, Tensor):
        return found
    values = output.values() if isinstance(output, Mapping) else output
    tensors = [one for one in values if isinstance(one, Tensor)] if hasattr(values, "__iter__") else []
    if len(tensors) != 1:
        raise UnseeError(
            f"a classifier returns logits [B,N], or holds them under `logits`; this one returns a {type(output).__name__}"
        )
    return tensors[0]


def count_classes(module: nn.Module, size: int, what: str) -> int:
    """Return how many logits a network makes of an image [1,3,size,size]; what: it is, for the error where it makes none."""
    try:
        with torch.no_grad():
            shape = tuple(logits_of(module(torch.zeros(1, 3, size, size))).shape)
    except UnseeError:
        raise
    except Exception as error:  # whatever a network raises on an input that it is not made for
        raise UnseeError(f"{what} does not take an image of {size} x {size}: {first_line(error)}") from error
    if len(shape) != 2 or shape[0] != 1:
        raise UnseeError(
            f"{what} makes {list(shape)} of an image, where logits [1,N] belong; a network that makes a map is put into a "
            "bundle by unsee wrap"
        )
    if shape[1] < 2:
        raise UnseeError(
            f"{what} makes a single logit, and one of at least two classes is unseen: give it a second one"
        )
    return shape[1]
