"""An ONNX file of anybody's map network: its one input and its outputs, or an error that says what was found instead."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UnseeError
from ...extras import require
from ...files import digest_of, sha256_of
from ...resizing import Sides
from ..bundles.onnx_files import external_files
from ..bundles.onnx_tensors import described

TYPES = ("float32", "float16", "uint8")
"""Of inputs and outputs."""
OLDEST_OPSET = 8
"""From which on operators broadcast as those that are put around a network do."""


@dataclass(frozen=True)
class ImageForm:
    """The input. type: one of `TYPES`. channels_last: [B,H,W,3], not [B,3,H,W]. sides: H and W, None where one is free."""

    name: str
    type: str
    channels_last: bool
    sides: tuple[int | None, int | None]

    def takes(self, sides: Sides) -> bool:
        """Say whether images of that height and width fit."""
        return all(own in (None, side) for own, side in zip(self.sides, sides, strict=True))


@dataclass(frozen=True)
class Output:
    """An output, as the file describes it: sides that are free by their names, or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.type} {_shown(self.shape)}"


@dataclass(frozen=True)
class NetworkFile:
    """A file that has been looked at. external: the files beside it that hold its weights."""

    path: Path
    image: ImageForm
    outputs: tuple[Output, ...]
    opset: int
    external: tuple[str, ...]

    def output(self, name: str | None) -> Output:
        """Return the output of a name, the first where None; `UnseeError` where there is none, or it is no tensor."""
        found = {output.name: output for output in self.outputs}
        chosen = self.outputs[0] if name is None else found.get(name)
        if chosen is None:
            raise UnseeError(f"{self.path}: has no output {name!r}, but {', '.join(found)} (--output-name)")
        if chosen.type not in TYPES:
            raise UnseeError(f"{self.path}: its output {chosen} is no map of {', '.join(TYPES)} (--output-name)")
        return chosen

    def digest(self) -> str:
        """Return a digest of every byte that the network is made of."""
        beside = [(name, sha256_of(self.path.parent / name)) for name in self.external]
        return digest_of([sha256_of(self.path), beside])


def is_network_file(model: str | Path) -> bool:
    """Say whether a path names an ONNX file."""
    try:
        return str(model).lower().endswith(".onnx") and Path(model).is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def load_model(path: Path) -> Any:
    """Read an ONNX file as a message of protobuf, weights that lie beside it left where they are."""
    onnx: Any = require("onnx", "networks", "an ONNX file of another network")
    try:
        return onnx.load(path, load_external_data=False)
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # protobuf's, which is of no class that onnx names
        raise UnseeError(f"{path}: damaged, or no ONNX file ({type(error).__name__})") from None


def read_network(path: Path) -> NetworkFile:
    """Look at a file; `UnseeError` where it cannot be a map network of one image, or keeps weights out of its folder."""
    model = load_model(path)
    graph, opset = model.graph, _opset(path, model)
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [described(value) for value in graph.input if value.name not in weights]
    outputs = tuple(Output(one["name"], one["type"], tuple(one["shape"])) for one in map(described, graph.output))
    if len(inputs) != 1 or not outputs:
        named = ", ".join(f"{one['name']} {_shown(one['shape'])}" for one in inputs) or "none"
        raise UnseeError(f"{path}: takes {len(inputs)} inputs ({named}): a map network takes one, the image")
    return NetworkFile(path, _image_form(path, inputs[0]), outputs, opset, _external(path))


def _opset(path: Path, model: Any) -> int:
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), None)
    if opset is None or not model.graph.node:
        raise UnseeError(f"{path}: damaged, or no ONNX file")
    if opset < OLDEST_OPSET:
        raise UnseeError(f"{path}: of ONNX's operators in version {opset}, {OLDEST_OPSET} or later is needed")
    return opset


def _image_form(path: Path, found: dict[str, Any]) -> ImageForm:
    name, shape = found["name"], found["shape"]
    told = f"{path}: its input {name} is {found['type']} {_shown(shape)}"
    if found["type"] not in TYPES:
        raise UnseeError(f"{told}: one of {', '.join(TYPES)} is expected")
    if len(shape) != 4:
        raise UnseeError(f"{told}: an image [batch, 3, height, width] or [batch, height, width, 3] is expected")
    channels_last = shape[1] != 3 and shape[3] == 3
    height, width = (
        side if isinstance(side, int) and side > 0 else None for side in (shape[1:3] if channels_last else shape[2:])
    )
    if not channels_last and isinstance(shape[1], int) and shape[1] != 3:
        raise UnseeError(f"{told}: 3 channels are expected, second or last")
    if isinstance(shape[0], int) and shape[0] > 1:
        raise UnseeError(f"{told}: a batch of {shape[0]} is built in, one or a free one is expected: export it anew")
    return ImageForm(name, found["type"], channels_last, (height, width))


def _external(path: Path) -> tuple[str, ...]:
    """Return the files of a network's weights, by name; one that lies out of its folder, by a link too, is an error."""
    folder, names = path.parent.resolve(), sorted(external_files(path))
    for name in names:
        beside = folder / name
        if "\0" in name or Path(name).is_absolute() or not beside.resolve().is_relative_to(folder):
            raise UnseeError(f"{path}: keeps weights in {name!r}, outside its folder: they are not read")
        if not beside.is_file():
            raise UnseeError(f"{path}: keeps weights in {name!r}, which is not in its folder")
    return tuple(names)


def _shown(shape: Any) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
