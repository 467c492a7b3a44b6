"""The anchor network and its nearest-anchor classifier, which promote the maps of other methods (paper C, spec 3)."""

import torch
from torch import Tensor, nn

from .backbones import Backbone
from .mapper_metadata import BackboneName, Preset, PromoterOptions, RegionChoice

SMALLEST_SQUARE = 1e-12
"""Added under the root of the distance, whose slope at 0 is infinite (spec 3.7)."""
SMALLEST_REGION = 1e-6
"""A region with less weight than this counts as this much (spec 3.7)."""


class SubpixelUpsampling(nn.Module):
    """1x1 convolution to ratio^2 C channels, batch normalisation, ReLU if asked for, and pixel shuffle (spec 3.4)."""

    def __init__(self, channels: int, width: int, ratio: int, rectified: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width * ratio**2, 1)
        self.normalization = nn.BatchNorm2d(width * ratio**2)
        self.activation = nn.ReLU() if rectified else nn.Identity()
        self.shuffle = nn.PixelShuffle(ratio)
        filters = nn.init.xavier_normal_(torch.empty(width, channels, 1, 1))
        with torch.no_grad():  # the pixels of an output channel start with equal filters: no checkerboard
            self.convolution.weight.copy_(filters.repeat_interleave(ratio**2, 0))
        nn.init.zeros_(self.convolution.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,width,ratio*H,ratio*W]."""
        return self.shuffle(self.activation(self.normalization(self.convolution(image))))


class AnchorNetwork(nn.Module):
    """Embeds every pixel and every region of an image in one space; a pixel takes the side of the nearest anchor.

    preset paper: two convolution layers for pixels and two for regions; release: one linear layer, shared where regions
    are embedded by convolution. Anchors are means over one image, never over a batch.
    """

    def __init__(self, backbone: BackboneName, preset: Preset, options: PromoterOptions) -> None:
        super().__init__()
        self.options = options
        self.backbone = Backbone(backbone, dilated=True, finest=options.grid)
        self.upsampling = nn.ModuleList(
            SubpixelUpsampling(channels, options.channels, stride // options.grid, preset == "paper")
            for channels, stride in self.backbone.taps
        )
        joined = options.channels * len(self.upsampling)
        layers = _two_layers if preset == "paper" else _linear_layer
        self.pixels = layers(joined, options.embedding)
        shared = preset == "release" and options.region == "conv"
        self.regions: nn.Module | None = None
        if options.region == "fc":
            self.regions = _initialised(nn.Linear(joined, options.embedding))
        elif not shared:
            self.regions = layers(joined, options.embedding)

    def forward(self, image: Tensor, prior: Tensor) -> Tensor:
        """Return logits d2 - d1 [B,1,S,S] of a preprocessed image [B,3,S,S] with prior [B,1,S,S] in 0..1 (training)."""
        return self.logits(*self.embed(image), prior)

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels' embeddings [B,D,H,W] and what regions are averaged from [B,D or 5C,H,W]; H = W = S / grid."""
        outputs = self.backbone(image)
        features = torch.cat([up(output) for up, output in zip(self.upsampling, outputs, strict=True)], 1)
        pixels = self.pixels(features)
        if self.options.region == "fc":
            return pixels, features
        return pixels, pixels if self.regions is None else self.regions(features)

    def logits(self, pixels: Tensor, regions: Tensor, prior: Tensor) -> Tensor:
        """Return d2 - d1 [B,1,S,S]: distances of what `embed` returns to the background and to the salient anchor."""
        weight = nn.functional.avg_pool2d(region_weights(prior, self.options.regions), self.options.grid)
        to_salient, to_background = (distance(pixels, self.anchor(regions, part)) for part in (weight, 1 - weight))
        logits = to_background - to_salient
        if self.options.grid == 1:
            return logits
        return nn.functional.interpolate(logits, scale_factor=self.options.grid, mode="bilinear", align_corners=False)

    def anchor(self, regions: Tensor, weight: Tensor) -> Tensor:
        """Return the anchor [B,D] of a region given by weights [B,1,H,W]."""
        mean = weighted_mean(regions, weight)
        return self.regions(mean) if self.regions is not None and self.options.region == "fc" else mean

    def promote(self, image: Tensor, prior: Tensor) -> Tensor:
        """Return the promoted map [B,1,S,S] in 0..1 after `iterations` passes (Algorithm 2, weights of C5 from t = 0)."""
        embedded = self.embed(image)
        promoted = prior
        for t in range(self.options.iterations):
            salient = torch.sigmoid(self.logits(*embedded, promoted))
            promoted = salient if t == 0 else (t * promoted + salient) / (t + 1)
        return promoted


def region_weights(prior: Tensor, choice: RegionChoice) -> Tensor:
    """Return the weight [B,1,S,S] with which pixels belong to the salient region; the background's is 1 minus it."""
    if choice == "soft":
        return prior
    threshold = 0.5 if choice == "half" else (2 * prior.mean((1, 2, 3), keepdim=True)).clamp(max=1)
    return (prior >= threshold).to(prior.dtype)


def weighted_mean(features: Tensor, weight: Tensor) -> Tensor:
    """Return sum_n w_n f_n / sum_n w_n of each image [B,C]; features [B,C,H,W], weight [B,1,H,W]; 0 for an empty region."""
    total = weight.sum((2, 3)).clamp(min=SMALLEST_REGION)
    return (features * weight).sum((2, 3)) / total


def distance(pixels: Tensor, anchor: Tensor) -> Tensor:
    """Return the Euclidean distance [B,1,H,W] of embedded pixels [B,D,H,W] from an anchor [B,D] (C3)."""
    return ((pixels - anchor[:, :, None, None]).square().sum(1, keepdim=True) + SMALLEST_SQUARE).sqrt()


def _two_layers(channels: int, width: int) -> nn.Module:
    return _initialised(
        nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1)
        )
    )


def _linear_layer(channels: int, width: int) -> nn.Module:
    return _initialised(nn.Conv2d(channels, width, 1))


def _initialised(module: nn.Module) -> nn.Module:
    """Xavier-normal weights, biases 0 (spec 3.4)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
    return module
