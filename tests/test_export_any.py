"""The export of whatever people have: each kind of layer in a small classifier, both ways against eager PyTorch."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.graph.onnx_writer import write_graph
from unsee.export.graph.step import PixelClassifier, build_step
from unsee.export.graph.tracing import INPUTS, OUTPUTS, export_step
from unsee.export.parity.levels import relative_error
from unsee.train.networks.metadata import InputSpec

SIZE, CLASSES = 32, 10
RAW = DescentConfig(cost="log-prob", gradient="raw", gradient_floor=float("-inf"), step=1.0)
AS_IT_IS = InputSpec(SIZE, range=255, mean=(0, 0, 0), std=(1, 1, 1))
LARGE = 2.0**40
"""A step beside which the image's own values do not round the gradient off."""


class Net(nn.Module):
    """A convolution, the layer in question, the mean over what axes are left, and a linear layer."""

    def __init__(self, layer: nn.Module, channels: int = 8) -> None:
        super().__init__()
        self.start, self.layer, self.end = nn.Conv2d(3, 8, 3, 2, 1), layer, nn.Linear(channels, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        values = self.layer(self.start(image))
        return self.end(values.flatten(2).mean(2))


class Of(nn.Module):
    """A function as a layer."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


class ChannelsLast(nn.Module):
    """A layer over channels that come last, as ConvNeXt and Swin have it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Attention over pixels behind a class token, as in ViT."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        pixels = values.flatten(2).transpose(1, 2)
        pixels = torch.cat([self.token.expand(pixels.shape[0], -1, -1), pixels], 1)
        return self.attention(pixels, pixels, pixels, need_weights=False)[0][:, 0, :, None, None]


class Shifted(nn.Module):
    """A rolled image under a mask that is built from zeros, as in Swin."""

    def forward(self, values: Tensor) -> Tensor:
        mask = values.new_zeros(values.shape[-2:])
        mask[:3] = 1
        return torch.roll(values, (1, -2), (2, 3)) * (1 + mask)


class Dictionary(nn.Module):
    """A network that returns a dictionary, as those of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Net(nn.ReLU())

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(image)}


class FiveChannels(nn.Module):
    """As many channels as images in the traced batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(8, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 8, 3, padding=1))

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


LAYERS = {
    "in-place SiLU": lambda: nn.SiLU(inplace=True),
    "in-place Hardswish": lambda: nn.Hardswish(inplace=True),
    "Hardsigmoid": nn.Hardsigmoid,
    "GELU": nn.GELU,
    "GELU by tanh": lambda: nn.GELU("tanh"),
    "Mish": nn.Mish,
    "PReLU": lambda: nn.PReLU(8),
    "Softplus": nn.Softplus,
    "layer norm": lambda: ChannelsLast(nn.LayerNorm(8)),
    "group norm": lambda: nn.GroupNorm(2, 8),
    "batch norm of a line": lambda: nn.Sequential(nn.Flatten(2), nn.BatchNorm1d(8)),
    "linear over channels": lambda: ChannelsLast(nn.Linear(8, 8)),
    "transposed convolution": lambda: nn.ConvTranspose2d(8, 8, 3, 2, 1),
    "1-D convolution": lambda: Of(
        lambda values: functional.conv1d(values.flatten(2), torch.ones(8, 8, 3) / 9)[..., None]
    ),
    "depthwise": lambda: nn.Conv2d(8, 8, 5, 2, 2, groups=8),
    "dilated": lambda: nn.Conv2d(8, 8, 3, 1, 2, dilation=2),
    "class token and attention": Attention,
    "roll and mask": Shifted,
    "squeeze and excitation": lambda: Of(lambda values: values * values.mean((2, 3), keepdim=True).sigmoid()),
    "view after a pool": lambda: Of(lambda v: functional.avg_pool2d(v, 2).view(v.shape[0], 8, -1)[..., None]),
    "pool of channels last": lambda: Of(
        lambda v: functional.adaptive_avg_pool2d(v.to(memory_format=torch.channels_last), 1)
    ),
    "adaptive pool": lambda: nn.AdaptiveAvgPool2d(3),
    "reflection": lambda: nn.ReflectionPad2d(2),
    "slice with a step": lambda: Of(lambda values: values[:, :, ::2, 1::2]),
    "chunks": lambda: Of(lambda values: torch.cat(values.chunk(2, 1)[::-1], 1)),
    "five channels": FiveChannels,
    "replication": lambda: nn.ReplicationPad2d(2),
    "nearest resize": lambda: nn.Upsample(scale_factor=2),
    "nearest resize to odd sizes": lambda: nn.Upsample(size=(23, 37)),
    "exact nearest resize": lambda: nn.Upsample(size=(23, 9), mode="nearest-exact"),
    "bilinear resize": lambda: nn.Upsample(size=(29, 11), mode="bilinear"),
    "bilinear resize with aligned corners": lambda: nn.Upsample(scale_factor=3, mode="bilinear", align_corners=True),
    "bilinear resize without aliasing": lambda: Of(
        lambda values: functional.interpolate(values, size=(7, 9), mode="bilinear", antialias=True)
    ),
    "bicubic resize": lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"),
    "local response norm": lambda: nn.LocalResponseNorm(5),
    "adaptive max pool": lambda: nn.AdaptiveMaxPool2d(4),
    "instance norm": lambda: nn.Sequential(nn.InstanceNorm2d(8, affine=True), nn.SiLU()),
}


def step_error(network: nn.Module, folder: Path) -> float:
    """Export a network's step and return the median relative error of its gradients, of batches of 3 and of 1."""
    network = PixelClassifier(network, AS_IT_IS).eval().requires_grad_(False)
    write_graph(export_step(network, RAW, SIZE, CLASSES), folder / "step.onnx", INPUTS, OUTPUTS, {})
    session, eager = onnxruntime.InferenceSession(folder / "step.onnx"), build_step(network, RAW)
    errors: list[float] = []
    for seed, batch in ((0, 3), (1, 1)):
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand(batch, 3, SIZE, SIZE, generator=generator)
        state = image, torch.zeros(batch, CLASSES), torch.full((batch,), -1), torch.tensor(0), torch.tensor(LARGE)
        expected = image.numpy() - eager(*state)[0].numpy()
        found = session.run(["next_image"], {name: one.numpy() for name, one in zip(INPUTS, state, strict=True)})[0]
        assert np.abs(expected).max() > 0
        errors += list(relative_error(image.numpy() - found, expected))
    return float(np.median(errors))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_exported_forward_and_backward(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert step_error(Net(LAYERS[name]()), tmp_path) < 1e-4


def test_a_dictionary_of_logits_is_understood(tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert step_error(Dictionary(), tmp_path) < 1e-4


class Depends(nn.Module):
    """A network whose way depends on its data."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Net(nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image) if image.sum() > 0 else self.network(-image)


class Two(nn.Module):
    """A network that returns two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Net(nn.ReLU())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(image), image


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Depends, "cannot be exported as one graph"),
        (Two, "holds them under `logits`"),
        (lambda: Net(nn.AdaptiveMaxPool2d(5)), "windows of several sizes"),
        (lambda: Net(nn.BatchNorm2d(8, track_running_stats=False)), "of the batch"),
        (lambda: Net(Of(lambda values: values.reshape(2, 8, 16, 16))), "batch"),
        (lambda: Net(Of(lambda values: values.cumsum(1).cummax(1)[0])), "cannot export operator aten.cummax"),
    ],
    ids=["data", "two tensors", "max pool", "statistics of the batch", "fixed batch", "operator"],
)
def test_what_cannot_be_exported_is_one_error(network, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnseeError, match=message):
        step_error(network(), tmp_path)


@pytest.mark.xfail(strict=True, reason="PyTorch does not export gradients to ONNX by itself")
def test_pytorch_exports_a_gradient_by_itself(tmp_path: Path) -> None:
    """When this passes, much of our own export may go."""
    network = Net(nn.ReLU()).eval().requires_grad_(False)

    class Gradient(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.func.grad(lambda pixels: network(pixels).sum())(image)

    torch.onnx.export(
        Gradient(), (torch.rand(2, 3, SIZE, SIZE),), tmp_path / "gradient.onnx", dynamo=True, verbose=False
    )
    session = onnxruntime.InferenceSession(tmp_path / "gradient.onnx")
    image = torch.rand(2, 3, SIZE, SIZE)
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    np.testing.assert_allclose(found, Gradient()(image).numpy(), rtol=1e-4, atol=1e-6)
