"""What a student looks through: the convolutions of a classifier, with their outputs at strides of 4 and more."""

from contextlib import redirect_stderr
from io import StringIO
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ....errors import UnseeError, first_line
from ..architectures.efficientnet_lite import EfficientNetLite0
from ..checkpoints import Classifier, matched_weights
from ..libraries import timm_models, torchvision_models
from .backbones import PLANS, Backbone

STRIDES = (4, 8, 16, 32)
FINEST = STRIDES[0]
LITE = "efficientnet_lite0"
LITE_TAPS = {2: (24, 4), 4: (40, 8), 10: (112, 16), 15: (320, 32)}
"""Channels and stride behind those of EfficientNet-Lite0's blocks that are looked at."""
LIBRARIES = {"torchvision": torchvision_models.build, "timm": timm_models.build}
TRIED_SIDE = 128
"""Of the image that shows a library's network's strides."""

Taps = tuple[tuple[int, int], ...]


class StudentBackbone(Protocol):
    """Feature maps of an image. taps: (channels, stride) of each, finest first."""

    taps: Taps

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps [B,C,S/stride,S/stride] of a preprocessed image [B,3,S,S]."""
        ...


class LiteBackbone(nn.Module):
    """EfficientNet-Lite0 up to its last block, with its parameter names."""

    def __init__(self) -> None:
        super().__init__()
        whole = EfficientNetLite0()
        self._padding, self._conv_stem, self._bn0 = whole._padding, whole._conv_stem, whole._bn0
        self._blocks = whole._blocks
        self.taps: Taps = tuple(LITE_TAPS.values())

    def forward(self, image: Tensor) -> list[Tensor]:
        """See `StudentBackbone`."""
        values, found = nn.functional.relu6(self._bn0(self._conv_stem(self._padding(image)))), []
        for place, block in enumerate(self._blocks):
            values = block(values)
            if place in LITE_TAPS:
                found.append(values)
        return found


class TracedBackbone(nn.Module):
    """A library's classifier up to its last feature map: torch.fx follows it, and what only classifies is left out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        library, _, model = name.partition(":")
        classifier = LIBRARIES[library](model).eval()
        try:
            traced = fx.symbolic_trace(classifier)
            with redirect_stderr(StringIO()):  # where it prints the traceback of what it raises
                ShapeProp(traced).propagate(torch.zeros(1, 3, TRIED_SIDE, TRIED_SIDE))
        except Exception as error:  # fx.proxy.TraceError, and whatever a network that branches on its data raises
            raise UnseeError(f"{name}: no backbone, for torch.fx cannot follow it ({first_line(error)})") from None
        last = {_stride(node): node for node in traced.graph.nodes if _stride(node) in STRIDES}
        if len(last) < 2:
            raise UnseeError(f"{name}: no backbone, for it makes no feature maps at two or more strides of {STRIDES}")
        nodes = [last[stride] for stride in sorted(last)]
        self.taps: Taps = tuple((_shape(node)[1], stride) for stride, node in sorted(last.items()))
        for node in reversed(traced.graph.nodes):
            if node.op == "output":
                node.args = (nodes,)
        traced.graph.eliminate_dead_code()
        traced.delete_all_unused_submodules()
        traced.recompile()
        self.trunk = traced

    def forward(self, image: Tensor) -> list[Tensor]:
        """See `StudentBackbone`."""
        return self.trunk(image)


def open_backbone(name: str) -> Any:
    """Build a backbone with random weights: a network of ours by its name, or torchvision:NAME, timm:NAME.

    Raises `UnseeError` on another name, and on a network without feature maps.
    """
    if name == LITE:
        return LiteBackbone()
    if name in PLANS:
        return Backbone(name, dilated=False, finest=FINEST)  # pyright: ignore[reportArgumentType]
    if name.partition(":")[0] in LIBRARIES:
        return TracedBackbone(name)
    raise UnseeError(f"{name}: no backbone; take {', '.join([LITE, *PLANS])}, torchvision:NAME or timm:NAME")


def start_backbone(backbone: Any, classifier: Classifier) -> None:
    """Give a backbone the weights of a classifier of its network."""
    if isinstance(backbone, Backbone):
        backbone.start_from(classifier)
        return
    layers = backbone.trunk if isinstance(backbone, TracedBackbone) else backbone
    expected, tensors = layers.state_dict(), classifier.module.state_dict()
    kept = {name: tensor for name, tensor in tensors.items() if name in expected}
    layers.load_state_dict(matched_weights(kept, expected, f"the backbone {classifier.metadata.network}"))


def _shape(node: fx.Node) -> tuple[int, ...]:
    meta = node.meta.get("tensor_meta")
    shape = getattr(meta, "shape", ())
    return tuple(shape) if len(shape) == 4 else ()


def _stride(node: fx.Node) -> int:
    """Return the stride of a node's feature map; 0 where it makes none."""
    shape = _shape(node)
    return TRIED_SIDE // shape[2] if node.op != "placeholder" and shape and shape[2] == shape[3] > 1 else 0
