"""The attentional recurrent network: self-attention and recurrent convolution in a decoder (paper D, spec 4)."""

import torch
from torch import Tensor, nn

from ....errors import UnseeError
from ..zoo import CrossChannelNormalization
from .attention import SelfAttention
from .backbones import Backbone
from .mapper_metadata import AttentionalOptions, BackboneName

ALPHA, BETA = 1e-3, 0.75


class RecurrentConvolution(nn.Module):
    """x(t) = LRN(ReLU(wf * u + wr * x(t-1) + b)) for t = 0..T with the same weights, then 1x1 on x(T) (D5-D8)."""

    def __init__(self, channels: int, maps: int, width: int, iterations: int) -> None:
        super().__init__()
        self.feed_forward = nn.Conv2d(channels, maps, 3, padding=1)
        self.recurrent = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.normalization = CrossChannelNormalization(maps // 8 + 1, ALPHA, BETA, 1.0)
        self.output = nn.Conv2d(maps, width, 1)
        self.iterations = iterations

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,width,H,W]."""
        return self.output(self.states(image)[-1])

    def states(self, image: Tensor) -> list[Tensor]:
        """Return x(0)..x(T), each [B,maps,H,W]."""
        fed = self.feed_forward(image)  # u is the same at every t
        states = [self.normalization(torch.relu(fed))]
        for _ in range(self.iterations):
            states.append(self.normalization(torch.relu(fed + self.recurrent(states[-1]))))
        return states


class Level(nn.Module):
    """One level of the decoder: S = ReLU(conv(concat(deconv(deeper), RCL(features)))), then self-attention (4.1)."""

    def __init__(self, channels: int, deeper: int, width: int, options: AttentionalOptions, pooled: int) -> None:
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(deeper, width, 4, stride=2, padding=1)
        self.recurrent = RecurrentConvolution(channels, options.recurrent, width, options.iterations)
        self.convolution = nn.Conv2d(2 * width, width, 3, padding=1)
        self.attention = SelfAttention(width, options.block, pooled)

    def forward(self, features: Tensor, deeper: Tensor) -> Tensor:
        """Map features [B,channels,H,W] and a deeper level [B,deeper,H/2,W/2] to [B,width,H,W]."""
        joined = torch.cat([self.deconvolution(deeper), self.recurrent(features)], 1)
        return self.attention(torch.relu(self.convolution(joined)))


class AttentionalNetwork(nn.Module):
    """Backbone, decoder from the deepest level to the finest, and a 1x1 head whose logits are enlarged to the input."""

    def __init__(self, backbone: BackboneName, options: AttentionalOptions) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, dilated=False, finest=options.grid)
        channels, strides = zip(*reversed(self.backbone.taps), strict=True)
        widths = options.widths[: len(channels)]
        if len(widths) < len(channels):
            raise UnseeError(f"{backbone} has {len(channels)} levels, but only {len(widths)} widths were given")
        self.deepest = nn.Conv2d(channels[0], widths[0], 3, padding=1)
        self.attention = SelfAttention(widths[0], options.block)
        pooled = [1] * (len(widths) - 2) + [options.pooled_keys]
        self.levels = nn.ModuleList(
            Level(channels[i + 1], widths[i], widths[i + 1], options, pooled[i]) for i in range(len(widths) - 1)
        )
        self.head = nn.Conv2d(widths[-1], 1, 1)
        deeper = widths[:-1] if options.deep_supervision else ()
        self.side_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in deeper)
        self.scale = strides[-1]
        self.apply(_initialise)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return logits of a preprocessed image [B,3,S,S]: those of the map [B,1,S,S], and while a network under deep
        supervision is trained those of every other level, deepest first, at its own size."""
        *maps, finest = self.attended(image)
        sides = self.side_heads if self.training else ()
        levels = [head(level) for head, level in zip(sides, maps, strict=False)]
        return [nn.functional.interpolate(self.head(finest), scale_factor=self.scale, mode="bilinear"), *levels]

    def attended(self, image: Tensor) -> list[Tensor]:
        """Return the attended maps Satt [B,width,H,W], deepest first."""
        *features, deepest = self.backbone(image)
        maps = [self.attention(torch.relu(self.deepest(deepest)))]
        for level, feature in zip(self.levels, reversed(features), strict=True):
            maps.append(level(feature, maps[-1]))
        return maps


def _initialise(module: nn.Module) -> None:
    """He et al.'s initialisation, biases 0 (spec 4.4); each output of a deconvolution sums four taps a channel."""
    if isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=(2 / (4 * module.in_channels)) ** 0.5)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
