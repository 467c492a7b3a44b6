"""The student: a pyramid head behind the convolutions of a classifier (feature pyramid of Lin et al., CVPR 2017)."""

from torch import Tensor, nn

from .mapper_metadata import StudentOptions
from .student_backbones import open_backbone


class PyramidHead(nn.Module):
    """Logits from feature maps at rising stride: each level is brought to one width, and the deeper one added to it."""

    def __init__(self, channels: tuple[int, ...], width: int, dropout: float) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smoothing = nn.ModuleList(_smoothing(width) for _ in channels)
        self.dropout = nn.Dropout2d(dropout)
        self.output = nn.Conv2d(width, 1, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits [B,1,h,w] of feature maps [B,C,H,W], finest first, on the grid of the finest."""
        merged: Tensor | None = None
        for lateral, smoothing, values in reversed(list(zip(self.lateral, self.smoothing, features, strict=True))):
            level = lateral(self.dropout(values))
            merged = smoothing(level if merged is None else level + _enlarged(merged, level))
        assert merged is not None
        return self.output(merged)


class StudentNetwork(nn.Module):
    """A backbone's feature maps, and a pyramid head on them."""

    def __init__(self, backbone: str, options: StudentOptions) -> None:
        super().__init__()
        self.backbone = open_backbone(backbone)
        self.head = PyramidHead(tuple(channels for channels, _ in self.backbone.taps), options.width, options.dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,1,S,S] of a preprocessed image [B,3,S,S]."""
        return _enlarged(self.head(self.backbone(image)), image)

    def train(self, mode: bool = True) -> "StudentNetwork":
        """Begin or end training; the backbone's batch statistics stay those of the classifier that it comes from."""
        super().train(mode)
        self.backbone.eval()
        return self


def _smoothing(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def _enlarged(values: Tensor, like: Tensor) -> Tensor:
    return nn.functional.interpolate(values, size=like.shape[2:], mode="bilinear")
