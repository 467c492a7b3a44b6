"""Map networks of about 5 MB with random weights, as the ONNX files that people have: input [1,3,320,320].

Batch normalisation is folded into the convolutions, as exporters do.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...extras import require

SIDE = 320
MIDDLE, OUT = 16, 64
"""Channels within a block and between blocks."""


class _Builder:
    """Adds operators to a graph; every method returns the name of what it adds."""

    def __init__(self) -> None:
        self.onnx: Any = require("onnx", "networks", "building a network")
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.random = np.random.default_rng(0)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(value, name))
        return name

    def convolution(
        self, source: str, channels: int, out: int, dilation: int = 1, side: int = 3, stride: int = 1, groups: int = 1
    ) -> str:
        """Return a convolution that keeps the size, over `stride`, and the spread of values."""
        shape, pad = (out, channels // groups, side, side), dilation * (side // 2)
        spread = np.sqrt(2 / (side * side * shape[1]))
        kernel = self.constant((self.random.normal(size=shape) * spread).astype(np.float32))
        bias = self.constant(np.zeros(out, np.float32))
        steps = {"dilations": [dilation] * 2, "strides": [stride] * 2}
        return self.add("Conv", source, kernel, bias, pads=[pad] * 4, group=groups, **steps)

    def active(self, source: str, channels: int, out: int, dilation: int = 1) -> str:
        return self.add("Relu", self.convolution(source, channels, out, dilation))

    def halved(self, source: str) -> str:
        return self.add("MaxPool", source, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)

    def enlarged(self, source: str, like: str) -> str:
        """Return features resized to the size of others."""
        sizes = self.add("Shape", like)
        sizes = self.add("Concat", self._sides(self.add("Shape", source), 0), self._sides(sizes, 2), axis=0)
        empty = self.constant(np.zeros(0, np.float32))
        return self.add("Resize", source, empty, empty, sizes, mode="linear")

    def _sides(self, shape: str, first: int) -> str:
        """Return batch and channels of a shape (from 0), or height and width (from 2)."""
        places = (self.constant(np.array([first], np.int64)), self.constant(np.array([first + 2], np.int64)))
        return self.add("Slice", shape, *places)

    def joined(self, one: str, other: str) -> str:
        return self.add("Concat", one, other, axis=1)

    def written(self, path: Path, name: str, outputs: list[str]) -> Path:
        """Write the graph, checked, with these outputs."""
        helper = self.onnx.helper
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input.1", 1, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(output, 1, [1, 1, SIDE, SIDE]) for output in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
        self.onnx.checker.check_model(model)
        self.onnx.save(model, path)
        return path


def _block(build: _Builder, source: str, channels: int, height: int) -> str:
    """Return a residual U-block of so many levels; of height 0 one that dilates instead of halving (RSU-4F)."""
    entered = build.active(source, channels, OUT)
    flat, levels = height == 0, height or 4
    features = [build.active(entered, OUT, MIDDLE)]
    for level in range(1, levels - 1):
        last = features[-1] if flat else build.halved(features[-1])
        features.append(build.active(last, MIDDLE, MIDDLE, 2**level if flat else 1))
    last = build.active(features[-1], MIDDLE, MIDDLE, 2 ** (levels - 1) if flat else 2)
    for level in reversed(range(levels - 1)):
        out = OUT if level == 0 else MIDDLE
        last = build.active(build.joined(last, features[level]), 2 * MIDDLE, out, 2**level if flat else 1)
        if level and not flat:
            last = build.enlarged(last, features[level - 1])
    return build.add("Add", last, entered)


def write_small_u2net(path: Path) -> Path:
    """Write the small U-2-Net (Qin et al., Pattern Recognition 2020): seven outputs, some 13 GMACs.

    Raises `MissingExtraError` without the package onnx.
    """
    build = _Builder()
    stages, last, channels = [], "input.1", 3
    for number, height in enumerate((7, 6, 5, 4, 0, 0)):
        last = _block(build, last if number == 0 else build.halved(last), channels, height)
        stages.append(last)
        channels = OUT
    decoded = [last]
    for stage, height in zip(reversed(stages[:-1]), (0, 4, 5, 6, 7), strict=True):
        last = _block(build, build.joined(build.enlarged(last, stage), stage), 2 * OUT, height)
        decoded.append(last)
    sides = [build.convolution(one, OUT, 1) for one in reversed(decoded)]
    sides = [sides[0], *(build.enlarged(side, sides[0]) for side in sides[1:])]
    kernel = build.constant((build.random.normal(size=(1, 6, 1, 1)) * 0.4).astype(np.float32))
    fused = build.add("Conv", build.add("Concat", *sides, axis=1), kernel)
    return build.written(path, "u2netp", [build.add("Sigmoid", value) for value in (fused, *sides)])


def write_light_network(path: Path) -> Path:
    """Write MobileNetV2 of width 3/4 (Sandler et al., CVPR 2018) with a separable decoder: one output, some 0.5 GMACs.

    Raises `MissingExtraError` without the package onnx.
    """
    build = _Builder()
    last, channels = build.active(build.convolution("input.1", 3, 24, stride=2), 24, 24), 24
    levels = []
    for out, repeats, stride in ((24, 2, 2), (24, 3, 2), (48, 4, 2), (72, 3, 1), (120, 3, 2), (240, 1, 1)):
        if stride == 2:
            levels.append((last, channels))
        for number in range(repeats):
            last = _inverted(build, last, channels, out, stride if number == 0 else 1)
            channels = out
    for skip, width in reversed(levels[1:]):  # up to a quarter of the image's size
        joined = build.joined(build.enlarged(last, skip), skip)
        last, channels = _separable(build, joined, channels + width, 24), 24
    chances = build.add("Sigmoid", build.enlarged(build.convolution(last, 24, 1), "input.1"))
    return build.written(path, "light", [chances])


def _separable(build: _Builder, source: str, channels: int, out: int) -> str:
    """Return a convolution a channel and one over the channels."""
    alone = build.add("Relu", build.convolution(source, channels, channels, groups=channels))
    return build.add("Relu", build.convolution(alone, channels, out, side=1))


def _inverted(build: _Builder, source: str, channels: int, out: int, stride: int) -> str:
    """Return an inverted residual: widened by 6, a convolution a channel, narrowed."""
    wide = build.add("Relu", build.convolution(source, channels, 6 * channels, side=1))
    wide = build.convolution(wide, 6 * channels, 6 * channels, stride=stride, groups=6 * channels)
    narrow = build.convolution(build.add("Relu", wide), 6 * channels, out, side=1)
    return build.add("Add", narrow, source) if stride == 1 and channels == out else narrow
