"""Small map networks of random weights as ONNX files, in the forms of those that people have, and their plain scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image, ImageOps

from unsee.resizing import Sides

CHANNELS = 8
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Form:
    """What a file looks like.

    size: of the input, or its height and width, None where it is free. batch: built in, or the name of a free one. type: of
    the input; layers of a network of bytes are float32. outputs: how many. logits: whether the first lacks its sigmoid.
    reshape: whether the batch of one stands in a shape within the graph. shrink: how much smaller the maps are. flat:
    without the channel of the map.
    """

    size: int | Sides | None = 32
    batch: int | str = 1
    type: str = "float32"
    channels_last: bool = False
    outputs: int = 1
    logits: bool = False
    reshape: bool = False
    shrink: int = 1
    flat: bool = False
    input: str = "input.1"
    output: str = "d0"
    opset: int = 11

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Height and width of the input."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)


def write_network(path: Path, form: Form = Form(), seed: int = 0) -> Path:
    """Write a network of two convolutions."""
    random, layers = np.random.default_rng(seed), np.dtype("float32" if form.type == "uint8" else form.type)
    nodes: list[Any] = []
    weights: dict[str, np.ndarray] = {}

    def add(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    last = form.input
    if form.type == "uint8":
        weights["level"] = np.array(1 / 127.5, layers)
        last = add("Mul", [add("Cast", [last], "floats", to=1), "level"], "scaled")
    if form.channels_last:
        last = add("Transpose", [last], "channels_first", perm=[0, 3, 1, 2])
    if form.reshape:
        weights["shape"] = np.array([1, 3, *form.sides])
        last = add("Reshape", [last, "shape"], "shaped")
    weights["first"] = (random.normal(size=(CHANNELS, 3, 3, 3)) * 0.4).astype(layers)
    stride = [form.shrink, form.shrink]
    last = add("Relu", [add("Conv", [last, "first"], "features", pads=[1] * 4, strides=stride)], "active")
    outputs = []
    for number in range(form.outputs):
        name = form.output if number == 0 else f"d{number}"
        weights[f"second{number}"] = (random.normal(size=(1, CHANNELS, 3, 3)) * 0.6).astype(layers)
        value = add("Conv", [last, f"second{number}"], f"values{number}", pads=[1] * 4)
        if not (form.logits and number == 0):
            value = add("Sigmoid", [value], f"chances{number}")
        if form.flat:
            add("Squeeze", [value], name, axes=[1])
        else:
            add("Identity", [value], name)
        outputs.append(name)
    model = _model(form, nodes, weights, outputs, layers)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _model(
    form: Form, nodes: list[Any], weights: dict[str, np.ndarray], outputs: list[str], layers: np.dtype
) -> onnx.ModelProto:
    sides = [side or name for side, name in zip(form.sides, ("height", "width"), strict=True)]
    small = [-(-side // form.shrink) if side else f"small{place}" for place, side in enumerate(form.sides)]
    shape = [form.batch, *sides, 3] if form.channels_last else [form.batch, 3, *sides]
    made = [form.batch, *small] if form.flat else [form.batch, 1, *small]
    kinds = [helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (form.type, layers)]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(form.input, kinds[0], shape)],
        [helper.make_tensor_value_info(name, kinds[1], made) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", form.opset)], ir_version=6)


@dataclass(frozen=True)
class Script:
    """What a user's script does with a network, in NumPy and Pillow."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    largest: bool = False
    filter: Image.Resampling = Image.Resampling.BILINEAR
    sigmoid: bool = False
    stretch: bool = False
    letterbox: bool = False
    padding: int = 0
    output: str | None = None

    def map(self, network: Path, photograph: Path, form: Form, size: int | Sides) -> np.ndarray:
        """Return the map of a photograph, turned as its EXIF orientation says, at its own size, uint8 [H,W].

        size: of the input, or its height and width.
        """
        image = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
        width, height = image.size
        rows, columns = size if isinstance(size, tuple) else (size, size)
        box = self._box(width, height, rows, columns)
        small = image.resize((box[2] - box[0], box[3] - box[1]), self.filter)
        grid = Image.new("RGB", (columns, rows), (self.padding,) * 3)
        grid.paste(small, box[:2])
        pixels = np.array(grid)
        if form.type == "uint8":
            values = pixels.astype(np.float64)
        else:
            scaled = pixels / (max(pixels.max(), 1e-6) if self.largest else 255)
            values = (scaled - np.array(self.mean)) / np.array(self.std)
        batch = values[None] if form.channels_last else values.transpose(2, 0, 1)[None]
        session = onnxruntime.InferenceSession(str(network))
        names = None if self.output is None else [self.output]
        made = np.asarray(session.run(names, {form.input: batch.astype(form.type)})[0]).astype(np.float32)
        made = made.reshape(made.shape[-2:])
        if self.sigmoid:
            made = 1 / (1 + np.exp(-made))
        if self.stretch:
            made = (made - made.min()) / (made.max() - made.min())
        if made.shape != (grid.height, grid.width):
            made = np.asarray(Image.fromarray(made, "F").resize(grid.size, Image.Resampling.BILINEAR))
        levels = Image.fromarray((made * 255).astype(np.uint8))
        return np.asarray(levels.crop(box).resize((width, height), self.filter))

    def _box(self, width: int, height: int, rows: int, columns: int) -> tuple[int, int, int, int]:
        """Return where an image lies: left, top, right and bottom."""
        if not self.letterbox:
            return 0, 0, columns, rows
        scale = min(columns / width, rows / height)
        inner_width, inner_height = (max(1, round(side * scale)) for side in (width, height))
        left, top = (columns - inner_width) // 2, (rows - inner_height) // 2
        return left, top, left + inner_width, top + inner_height
