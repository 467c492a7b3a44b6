"""The network of the shipped classifier: a SqueezeNet-like chain that goes to a quarter of the resolution at once."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Convolution(nn.Module):
    """Convolution, batch normalisation (while training, until `folded` merges it) and ReLU."""

    def __init__(
        self, channels: int, width: int, kernel: int, stride: int = 1, padding: int = 0, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(width) if batch_norm else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,width,H/stride,W/stride]."""
        return torch.relu(self.norm(self.conv(image)))


class FireModule(nn.Module):
    """SqueezeNet's fire module on `Convolution`: a 1x1 squeeze, then 1x1 and 3x3 expansions side by side."""

    def __init__(self, channels: int, squeeze: int, expand: int, batch_norm: bool) -> None:
        super().__init__()
        self.squeeze = Convolution(channels, squeeze, 1, batch_norm=batch_norm)
        self.expand1x1 = Convolution(squeeze, expand, 1, batch_norm=batch_norm)
        self.expand3x3 = Convolution(squeeze, expand, 3, padding=1, batch_norm=batch_norm)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,2*expand,H,W]."""
        squeezed = self.squeeze(image)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], 1)


class UnseeSmall(nn.Module):
    """Fire modules behind one 8x8 convolution of stride 4, whose windows cover every pixel equally often.

    A last channel, the attention, says where the object is on a grid of stride 16. It weighs the detectors of the
    classes there while they are trained; in eval mode its fourth power does, so that the gradient of every class,
    through the detectors and through the attention itself, fades where the attention is low (docs/log.md has what the
    alternatives gave). `batch_norm` adds normalisation for training; the shipped network has none.
    """

    def __init__(self, classes: int = 1000, batch_norm: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Convolution(3, 48, 8, 4, 2, batch_norm),
            FireModule(48, 24, 48, batch_norm), FireModule(96, 24, 48, batch_norm), nn.MaxPool2d(2),
            FireModule(96, 32, 64, batch_norm), FireModule(128, 48, 96, batch_norm), nn.MaxPool2d(2),
            FireModule(192, 64, 160, batch_norm), FireModule(320, 80, 160, batch_norm),
            FireModule(320, 80, 192, batch_norm),
        )  # fmt: skip
        self.attention = nn.Conv2d(384, 1, 1)
        self.detectors = Convolution(384, 512, 1, batch_norm=batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.constant_(self.attention.weight, 0)  # open everywhere at first, so that no ReLU starts closed
        nn.init.constant_(self.attention.bias, 0.5)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,H,W]."""
        return self.classify(*self.look(image))

    def look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return detectors [B,512,H/16,W/16] and attention [B,1,H/16,W/16] of a preprocessed image [B,3,H,W]."""
        features = self.features(image)
        return self.detectors(features), torch.relu(self.attention(features))

    def classify(self, detectors: Tensor, attention: Tensor) -> Tensor:
        """Return logits [B,N] of what `look` returns."""
        if not self.training:
            square = attention * attention
            attention = square * square
        return self.classifier(torch.flatten(self.avgpool(detectors * attention), 1))


def folded(network: UnseeSmall) -> UnseeSmall:
    """Return a copy in eval mode in which every batch normalisation is part of its convolution."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, Convolution) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    return network
