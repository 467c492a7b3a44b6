"""`unsee.gradient`: the plain gradient of a class by the pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...export.bundles.attribution_contents import AttributionContents
from ...export.bundles.bundle import holds, read_bundle
from ...export.runtime.attributor import Attributor
from ...train.networks.metadata import InputSpec
from ..decoding.decoded_image import DecodingConfig
from ..inputs.given_images import ImageLike, decoded, is_one
from .given_networks import as_classifier, is_module

if TYPE_CHECKING:
    from torch import nn


def gradient(
    model: "str | Path | nn.Module",
    images: ImageLike | Sequence[ImageLike],
    targets: int | Sequence[int] | np.ndarray | None = None,
    input: InputSpec | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Return the gradient of a class's logit by the pixels, float32 [B,3,S,S], in logits per grey level; [3,S,S] of one.

    model: a `torch.nn.Module` that makes logits, what `load_classifier` takes, or a bundle of `unsee export --what
    gradient`, which needs no PyTorch. images: one or several, as for a `Detector`, resized to the network's square input.
    targets: class indices, the top-1 where None. input: of a module, torchvision's usual one where None.
    Raises `UnseeError` on images that cannot be read, on other models, and on what is no class.
    """
    attributor = open_attributor(model, input, device)
    single = is_one(images)
    config = DecodingConfig(attributor.info.input_size)
    pixels = [decoded(image, config).pixels for image in ([images] if single else images)]  # pyright: ignore
    size = attributor.info.input_size
    batch = np.stack(pixels) if pixels else np.zeros((0, size, size, 3), np.uint8)
    wanted = None if targets is None else np.atleast_1d(np.asarray(targets))
    values = attributor.attribute(batch, wanted).values
    attributor.close()
    return values[0] if single else values


def open_attributor(
    model: "str | Path | nn.Module", input: InputSpec | None = None, device: str = "auto"
) -> Attributor:
    """Open the gradient of a model: a bundle of one, or a classifier in PyTorch (see `gradient`)."""
    if not is_module(model) and holds(str(model), AttributionContents):
        return Attributor.of_bundle(read_bundle(str(model), AttributionContents), device)
    classifier = as_classifier(model, input)
    from ...export.graph.attribution_export import attribution_contents, eager_attributor

    return eager_attributor(classifier, attribution_contents(classifier, "gradient"), device=device)
