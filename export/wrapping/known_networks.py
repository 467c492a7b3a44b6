"""Map networks that people have as ONNX files, and what their publishers' code does around them (docs/networks.md).

Each row is a sidecar without a file: what it says is what FILE.json may say.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.0)}
REMBG = {"scale": "largest", "resample": "lanczos", "activation": "minmax"}
"""What rembg does with every network: sessions/base.py."""

KNOWN: dict[str, dict[str, Any]] = {
    "u2net": {"size": 320, **IMAGENET, **REMBG},
    "u2netp": {"size": 320, **IMAGENET, **REMBG},
    "silueta": {"size": 320, **IMAGENET, **REMBG},
    "isnet-general-use": {"size": 1024, "mean": IMAGENET["mean"], "std": CENTRED["std"], **REMBG},
    "birefnet": {"size": 1024, **IMAGENET, **REMBG, "activation": "sigmoid-minmax"},
    "dis": {"size": 1024, **CENTRED, "activation": "minmax"},
    "inspyrenet": {"size": 1024, **IMAGENET, "activation": "none"},
    "inspyrenet-fast": {"size": 384, **IMAGENET, "activation": "none"},
    "rmbg": {"size": 1024, **IMAGENET, **REMBG},
    "rmbg-1.4": {"size": 1024, **CENTRED, "activation": "minmax"},
    "ben2": {"size": 1024, **IMAGENET, "resample": "lanczos", "activation": "minmax"},
}
"""Size, input and activation by name; what a row lacks is as in `NetworkInput`."""

_NAMES = (
    (r"u-?2-?netp", "u2netp"),
    (r"u-?2-?net", "u2net"),
    (r"silueta", "silueta"),
    (r"isnet-(general|anime)", "isnet-general-use"),
    (r"birefnet", "birefnet"),
    (r"(isnet|dis)\b", "dis"),
    (r"(inspyrenet|ckpt)\b.*fast", "inspyrenet-fast"),
    (r"inspyrenet|ckpt-base", "inspyrenet"),
    (r"(bria-?)?rmbg-?(v?1)", "rmbg-1.4"),
    (r"(bria-?)?rmbg", "rmbg"),
    (r"ben2", "ben2"),
)
"""How the names of files begin, in small letters with - for _; the first that fits counts."""


def known_by_name(stem: str) -> str | None:
    """Return the known network that a file's name, without its ending, speaks of."""
    name = stem.lower().replace("_", "-")
    return next((known for pattern, known in _NAMES if re.match(pattern, name)), None)


def known_by_graph(inputs: Sequence[str], outputs: Sequence[str], sides: Collection[int | None]) -> str | None:
    """Return the known network that has a graph of such inputs and outputs; sides: of the input, None where one is free.

    U-2-Net has a map for each of its six scales and one of them all, IS-Net six maps and six feature maps.
    """
    if len(outputs) == 7 and {*sides} <= {None, 320}:
        return "u2net"
    if len(outputs) == 12 and {*sides} <= {None, 1024}:
        return "dis"
    return {
        ("input_image", "output_image"): "birefnet",
        ("pixel_values", "alphas"): "rmbg",
    }.get((inputs[0], outputs[0]))
