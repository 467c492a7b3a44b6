"""The classifiers, with torchvision's parameter names where torchvision has the network (spec section 0.2)."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...errors import UnseeError
from .architectures.efficientnet_lite import EfficientNetLite0
from .architectures.unsee_small import UnseeSmall
from .foreign_names import is_foreign
from .metadata import InputSpec


class Vgg16(nn.Module):
    """VGG16: 13 convolutions and 3 fully connected layers; parameter names as in torchvision."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_vgg_features([64, 64, 0, 128, 128, 0, 256, 256, 256, 0] + [512, 512, 512, 0] * 2)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,H,W]."""
        return self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))


def _vgg_features(widths: list[int]) -> list[nn.Module]:
    """Return 3x3 convolutions of the given widths; a width of 0 is a 2x2 max pool."""
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        if width == 0:
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return layers


class CrossChannelNormalization(nn.Module):
    """Local response normalisation y = x / (k + alpha/n sum of x^2 over n neighbouring channels)^beta.

    Equal to `nn.LocalResponseNorm`, written with slices so that it exports and differentiates as plain arithmetic.
    """

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, image: Tensor) -> Tensor:
        """Normalise [B,C,H,W] over C."""
        channels = image.shape[1]
        left = self.size // 2
        squares = nn.functional.pad(image * image, (0, 0, 0, 0, left, self.size - 1 - left))
        total = squares[:, :channels]
        for offset in range(1, self.size):
            total = total + squares[:, offset : offset + channels]
        return image * (self.k + self.alpha / self.size * total) ** -self.beta


class VggS(nn.Module):
    """CNN-S (Chatfield et al. 2014), paper A: ceil-mode pools stand for MatConvNet's one-sided padding."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2), nn.ReLU(), CrossChannelNormalization(5, 5e-4, 0.75, 2.0),
            nn.MaxPool2d(3, 3, ceil_mode=True),
            nn.Conv2d(96, 256, 5), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(256, 512, 3, padding=1), nn.ReLU(),
            nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(),
            nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 3, ceil_mode=True),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(512 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,224,224]."""
        return self.classifier(torch.flatten(self.features(image), 1))


class Fire(nn.Module):
    """SqueezeNet's module: a 1x1 squeeze, then 1x1 and 3x3 expansions side by side."""

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,2*expand,H,W]."""
        squeezed = torch.relu(self.squeeze(image))
        return torch.cat([torch.relu(self.expand1x1(squeezed)), torch.relu(self.expand3x3(squeezed))], 1)


class SqueezeNet11(nn.Module):
    """SqueezeNet 1.1; parameter names as in torchvision."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,H,W]."""
        return torch.flatten(self.classifier(self.features(image)), 1)


class DarknetConvolution(nn.Module):
    """Convolution, batch normalisation and leaky ReLU of slope 0.1."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
        # Darknet adds 1e-6 to the standard deviation; published running variances hold that already.
        self.bn = nn.BatchNorm2d(width, eps=1e-12)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,width,H,W]."""
        return nn.functional.leaky_relu(self.bn(self.conv(image)), 0.1)


class TinyDarknet(nn.Module):
    """Tiny Darknet (Redmon): 3x3 convolutions with 1x1 bottlenecks, global average of class scores."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        plan = [(16, 3), None, (32, 3), None, (16, 1), (128, 3), (16, 1), (128, 3), None, (32, 1), (256, 3), (32, 1),
                (256, 3), None, (64, 1), (512, 3), (64, 1), (512, 3), (128, 1)]  # fmt: skip
        layers: list[nn.Module] = []
        channels = 3
        for item in plan:
            if item is None:
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers.append(DarknetConvolution(channels, *item))
                channels = item[0]
        head = nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, classes, 1)))
        self.features = nn.Sequential(*layers, head)
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,H,W]."""
        return torch.flatten(self.avgpool(self.features(image)), 1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions round a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,channels,H,W] to [B,width,H/stride,W/stride]."""
        shortcut = image if self.downsample is None else self.downsample(image)
        hidden = torch.relu(self.bn1(self.conv1(image)))
        return torch.relu(self.bn2(self.conv2(hidden)) + shortcut)


class ResNet18(nn.Module):
    """ResNet-18; parameter names as in torchvision."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of a preprocessed image [B,3,H,W]."""
        hidden = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        return self.fc(torch.flatten(self.avgpool(hidden), 1))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "vgg16": Vgg16,
    "vgg_s": VggS,
    "squeezenet1_1": SqueezeNet11,
    "tiny_darknet": TinyDarknet,
    "resnet18": ResNet18,
    "unsee_small": UnseeSmall,
    "efficientnet_lite0": EfficientNetLite0,
}

CLASSIFIER_WEIGHTS = {
    "vgg16": "classifier.6.weight",
    "vgg_s": "classifier.6.weight",
    "squeezenet1_1": "classifier.1.weight",
    "tiny_darknet": "features.19.conv.weight",
    "resnet18": "fc.weight",
    "unsee_small": "classifier.weight",
    "efficientnet_lite0": "_fc.weight",
}
"""The tensor of each network whose first dimension is the number of classes."""


INPUTS = {"efficientnet_lite0": InputSpec(224, "RGB", 255, (127, 127, 127), (128, 128, 128))}
"""The input of networks whose published weights do not want torchvision's."""


def build_network(name: str, classes: int) -> nn.Module:
    """Build a network of `NETWORKS` with randomly initialised parameters; an unknown name is a `UnseeError`.

    So is that of a library or of a user's factory: reading a checkpoint runs no code that it names.
    """
    if is_foreign(name):
        raise UnseeError(
            f"{name} is no network of ours, and a checkpoint runs no code: name it as --model {name}, with the checkpoint's "
            "weights.safetensors as --weights and labels.json as --labels"
        )
    if name not in NETWORKS:
        raise UnseeError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name](classes)
