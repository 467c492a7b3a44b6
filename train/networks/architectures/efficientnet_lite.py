"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation and with ReLU6), as TensorFlow published it."""

import torch
from torch import Tensor, nn

EPSILON = 1e-3
STEM, HEAD = 32, 1280
STAGES = (
    # expansion, channels, blocks, kernel, stride
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


def _padding(kernel: int, stride: int) -> nn.Module:
    """TensorFlow's `same` padding of an even side: where a stride of 2 leaves it odd, more at the right and below."""
    before, after = ((kernel - 1) // 2,) * 2 if stride == 1 else ((kernel - 2) // 2, (kernel - 1) // 2)
    return nn.ZeroPad2d((before, after, before, after))


class InvertedBottleneck(nn.Module):
    """A 1x1 expansion, a depthwise convolution and a 1x1 projection, added to the input where the shapes allow."""

    def __init__(self, channels: int, width: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and channels == width
        if self.expands:
            self._expand_conv = nn.Conv2d(channels, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, EPSILON)
        self._padding = _padding(kernel, stride)
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, EPSILON)
        self._project_conv = nn.Conv2d(inner, width, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(width, EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,width,H/stride,W/stride]."""
        inner = nn.functional.relu6(self._bn0(self._expand_conv(image))) if self.expands else image
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(self._padding(inner))))
        projected = self._bn2(self._project_conv(inner))
        return image + projected if self.adds else projected


class EfficientNetLite0(nn.Module):
    """Parameter names as in the package efficientnet_lite_pytorch; sides are multiples of 32, 224 in training."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self._padding = _padding(3, 2)
        self._conv_stem = nn.Conv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, EPSILON)
        blocks, channels = [], STEM
        for expansion, width, count, kernel, stride in STAGES:
            for place in range(count):
                blocks.append(InvertedBottleneck(channels, width, expansion, kernel, 1 if place else stride))
                channels = width
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(channels, HEAD, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(HEAD, EPSILON)
        self._pool, self._dropout = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2)
        self._fc = nn.Linear(HEAD, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,H,W]."""
        features = nn.functional.relu6(self._bn0(self._conv_stem(self._padding(image))))
        features = nn.functional.relu6(self._bn1(self._conv_head(self._blocks(features))))
        return self._fc(self._dropout(torch.flatten(self._pool(features), 1)))
