"""What is said of a network's input and output: by options, by the file beside it, or as one that is known."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...errors import UnseeError
from ...fields import number, text
from ...resizing import Sides
from ...train.networks.input_choice import InputChoice
from ...train.networks.maps.network_input import Activation, NetworkChoice, NetworkInput, NetworkOptions
from ...train.networks.metadata import read_object, sides_of, understood, written_sides
from .known_networks import KNOWN, known_by_graph, known_by_name
from .network_files import NetworkFile

LOG = logging.getLogger("unsee")
LIKE, OUTPUT, ACTIVATION = "like", "output_name", "activation"
PIXELS: dict[str, Any] = {"range": 255.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "scale": "fixed"}
"""The input of a network that takes bytes."""
OPTIONS = {"size": "--input-size", "mean": "--mean", "std": "--std"}
"""What has to be known, and the option that says it."""
SLACK = 0.01
"""How far values may lie beyond 0..1 that count as a map's."""


@dataclass(frozen=True)
class Specification:
    """input: how an image becomes the input. output: the output that is the map, the first where None. activation: what it
    still needs, None where nothing says so and the values decide.
    """

    input: NetworkInput
    output: str | None
    activation: Activation | None


def specification(file: NetworkFile, choice: InputChoice, network: NetworkChoice) -> Specification:
    """Put together what options, the sidecar and the table of known networks say of a file, in this order.

    Raises `UnseeError` naming the options that decide where something is missing, or contradicts the graph.
    """
    said = {**_sidecar(file.path), **network.values()}
    if LIKE not in said and (found := _recognized(file)):
        said[LIKE] = found
    if file.image.type == "uint8":
        if choice.mean or choice.std:
            raise UnseeError(f"{file.path}: its input is bytes: leave --mean and --std out")
        said = {**PIXELS, **said}
    layout = "[batch, height, width, 3]" if file.image.channels_last else "[batch, 3, height, width]"
    what = f"input {file.image.name} {file.image.type} {layout}; outputs {', '.join(map(str, file.outputs))}"
    beside = f"{sidecar_of(file.path).name} beside it"
    source = sidecar_of(file.path) if sidecar_of(file.path).is_file() else file.path
    with understood(source, "what a network takes and gives"):
        return _specified(what, beside, {**said, **_size(file, choice.input_size or said.get("size"))}, choice)


def _size(file: NetworkFile, asked: Any) -> dict[str, Any]:
    """Return the size that a graph has built in or that was asked for, if any; `UnseeError` where these differ.

    Of a graph with one free side, a square is taken where nothing else was asked for.
    """
    own = file.image.sides
    fixed = [side for side in own if side]
    if asked is None:
        return {"size": (own[0] or fixed[0], own[1] or fixed[0])} if fixed else {}
    sides = sides_of(asked, "size")
    if not file.image.takes(sides):
        hint = "leave the size out" if len(fixed) == 2 else "give another --input-size"
        raise UnseeError(f"its input is {written_sides(own)}, not {written_sides(sides)}: {hint}")
    return {"size": sides}


def module_specification(name: str, choice: InputChoice, network: NetworkChoice) -> Specification:
    """Put together what options say of a network that a function makes; raises as `specification` does."""
    with understood(Path(name), "what a network takes and gives"):
        return _specified("made by a function", "", network.values(), choice)


def sidecar_of(path: Path) -> Path:
    """Return the file beside a network that says what it takes: FILE.json of FILE.onnx."""
    return path.with_suffix(".json")


def nothing_more(what: str, low: float, high: float) -> Activation:
    """Return that values of a map need nothing more; `UnseeError` naming the option that decides where they are none."""
    if low >= -SLACK and high <= 1 + SLACK:
        return "none"
    raise UnseeError(
        f"{what} has values from {low:.3g} to {high:.3g}, which are no map of 0 to 1: --activation says what it needs "
        "(sigmoid where they are logits, minmax, sigmoid-minmax)"
    )


def are_of_a_map(sides: Sequence[int], image: Sides) -> bool:
    """Say whether an output of such sides has the form of images of height and width.

    Sides of smaller maps may be rounded, each in its own way.
    """
    return len(sides) == 2 and abs(sides[0] * image[1] - sides[1] * image[0]) < max(image)


def _specified(what: str, beside: str, said: Mapping[str, Any], choice: InputChoice) -> Specification:
    """what, beside: of the network and its sidecar, for the error."""
    if choice.labels is not None:
        raise UnseeError("a map network has no classes: leave --labels out")
    like = said.get(LIKE)
    if like is not None and text(like, LIKE) not in KNOWN:
        raise UnseeError(f"no network {like!r} is known, but {', '.join(KNOWN)} (--like)")
    values = {**(KNOWN[like] if like else {}), **{name: value for name, value in said.items() if name != LIKE}}
    values |= _of_choice(choice, number(values.get("range", 1.0), "range"))
    missing = [name for name in OPTIONS if name not in values]
    if missing:
        ways = [" and ".join(OPTIONS[name] for name in missing), beside, f"--like one of {', '.join(KNOWN)}"]
        raise UnseeError(
            f"not a network that is known ({what}), and nothing says its {' and '.join(missing)}: "
            f"give {', or '.join(way for way in ways if way)}"
        )
    output, activation = values.pop(OUTPUT, None), values.pop(ACTIVATION, None)
    NetworkOptions(activation or "none", output or "")  # checks both
    taken = NetworkInput.from_json({**vars(NetworkInput()), **values})
    if max(taken.mean) > taken.range:
        raise UnseeError(
            f"mean is that of pixels in 0..{taken.range:g}, got {taken.mean}: divide by 255, or say that their range is 255 "
            f'("range": 255 in the JSON file)'
        )
    return Specification(taken, output, activation)


def _of_choice(choice: InputChoice, scale: float) -> dict[str, Any]:
    """Return what options say; mean and deviation are those of pixels in 0..1."""
    given = {"mean": choice.mean, "std": choice.std}
    scaled: dict[str, Any] = {name: tuple(v * scale for v in value) for name, value in given.items() if value}
    return {**scaled, **({"size": choice.input_size} if choice.input_size else {})}


def _sidecar(path: Path) -> dict[str, Any]:
    beside = sidecar_of(path)
    if not beside.is_file():
        return {}
    said = read_object(beside, "what a network takes and gives")
    known = {item.name for item in fields(NetworkInput)} | {LIKE, OUTPUT, ACTIVATION}
    unknown = sorted(said.keys() - known)
    if unknown:
        raise UnseeError(f"{beside}: {unknown[0]!r} is none of what is said of a network: {', '.join(sorted(known))}")
    return said


def _recognized(file: NetworkFile) -> str | None:
    """Return the known network that a file's name or its graph speaks of."""
    outputs = [output.name for output in file.outputs]
    found = known_by_name(file.path.stem) or known_by_graph([file.image.name], outputs, file.image.sides)
    if found:
        LOG.info("%s: taken for %s (--like names another)", file.path, found)
    return found
