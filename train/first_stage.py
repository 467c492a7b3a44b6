"""The first training stage of the promoter's released code: features learn saliency behind a small decoder (spec 3.5).

The paper has no such stage. The decoder is thrown away afterwards; the backbone goes on into the promoter.
"""

import torch
from torch import Tensor, nn

from .networks.maps.backbones import Backbone

REDUCED = 32
BLOCKS = 3


class FirstStage(nn.Module):
    """1x1 convolutions reduce the last three blocks to 32 channels each; from the deepest on, each predicts a map from its
    own channels and the deeper prediction, and the last prediction is enlarged to the input."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        taps = backbone.taps[-BLOCKS:][::-1]
        self.scale = taps[-1][1]
        self.reductions = nn.ModuleList(nn.Conv2d(channels, REDUCED, 1) for channels, _ in taps)
        self.predictions = nn.ModuleList(nn.Conv2d(REDUCED + (place > 0), 1, 1) for place in range(len(taps)))
        for layer in (*self.reductions, *self.predictions):
            nn.init.xavier_normal_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,1,S,S] of a preprocessed image [B,3,S,S]."""
        outputs = self.backbone(image)[-BLOCKS:][::-1]
        found: Tensor | None = None
        for output, reduce, predict in zip(outputs, self.reductions, self.predictions, strict=True):
            joined = reduce(output)
            if found is not None:
                joined = torch.cat([joined, _enlarged(found, joined.shape[-1] // found.shape[-1])], 1)
            found = predict(joined)
        assert found is not None  # a backbone has blocks
        return _enlarged(found, self.scale)


def _enlarged(logits: Tensor, scale: int) -> Tensor:
    return logits if scale == 1 else nn.functional.interpolate(logits, scale_factor=float(scale), mode="bilinear")
