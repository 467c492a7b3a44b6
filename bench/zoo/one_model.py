"""One classifier with random weights: is its gradient exported, is it right, and how fast is it beside eager PyTorch?

`python -m unsee.bench.zoo.one_model torchvision:resnet18` prints one JSON line.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ...errors import UnseeError
from ...export.bundles.attribution_contents import GRADIENT_INPUTS, GRADIENT_OUTPUTS
from ...export.graph.attribution_graphs import export_gradient
from ...export.graph.onnx_writer import write_graph
from ...export.graph.step import PixelClassifier
from ...export.parity.attribution_parity import LARGEST_ERROR
from ...export.parity.levels import relative_error
from ...export.parity.report import LARGEST_EXCESS
from ...export.parity.synthetic import synthetic_images
from ...threads import cores
from ...train.networks.libraries import timm_models, torchvision_models
from ...train.networks.logits import count_classes
from ...train.networks.metadata import InputSpec

BUILDERS = {"torchvision": torchvision_models.build, "timm": timm_models.build}
SIZE = 224
OTHER_SIZES = {"torchvision:inception_v3": 299}
BATCHES = (1, 3, 4)
ROUNDS = 5
Gradient = Callable[[Tensor, Tensor], np.ndarray]
SMALL = 0.01
"""Below which a scale that all channels have alike is as good as none."""
LONGEST = 20.0
"""Seconds of one gradient from which three rounds are enough."""


def measured(name: str, size: int | None = None, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return what became of a classifier: status exported, wrong or refused, errors, seconds and the ratio to eager."""
    torch.manual_seed(0)
    library, _, model = name.partition(":")
    module = BUILDERS[library](model)
    return measured_module(module, name, size or OTHER_SIZES.get(name) or _own_size(module), rounds)


def measured_module(module: nn.Module, name: str, size: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return what became of a module with random weights, as `measured` does; without rounds nothing is timed."""
    row: dict[str, Any] = {"model": name, "size": size, "parameters": sum(one.numel() for one in module.parameters())}
    network = calibrated(module, size)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gradient.onnx"
        try:
            classes = count_classes(module, size, name)
            write_graph(export_gradient(network, size, classes), path, GRADIENT_INPUTS, GRADIENT_OUTPUTS, {})
        except UnseeError as error:
            return {**row, "status": "refused", "reason": str(error)}
        row["export_seconds"] = round(time.perf_counter() - started, 1)
        row["megabytes"] = round(sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6, 1)
        row["operators"] = len(onnx.load(path, load_external_data=False).graph.node)
        session = opened(path)
    images = [_images(size, batch, seed) for seed, batch in enumerate(BATCHES)]
    eager = [_eager(network, layout) for layout in (torch.contiguous_format, torch.channels_last)]
    found = [_run(session, *one) for one in images]
    if rounds:
        row.update(_speed(session, eager, images[0], rounds))
    plain = [[run(*one) for one in images] for run in eager]
    row.update(_errors(found, plain, network, images))
    limit = max(LARGEST_ERROR, LARGEST_EXCESS * row["eager_error"])
    return {**row, "status": "exported" if row["error"] <= limit else "wrong"}


def calibrated(module: nn.Module, size: int) -> PixelClassifier:
    """Return a classifier of pixels in which gradients neither vanish nor explode.

    Batch normalisations have seen some images; heads that start at zero and scales that start near it are as if trained.
    """
    for parameter in module.parameters():
        _fill_if_idle(parameter.data)
    network = PixelClassifier(module, InputSpec(size)).eval().requires_grad_(False)
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            network(_images(size, 4, 4)[0])
    return network.eval()


def _fill_if_idle(values: Tensor) -> None:
    """Give values to a parameter that begins where no gradient goes through it."""
    first = float(values.flatten()[0])
    if values.numel() < 2 or not (values == first).all():
        return
    if first == 0 and values.ndim > 1:
        nn.init.normal_(values, std=0.02)
    elif 0 < abs(first) < SMALL:
        values.fill_(0.5)


def opened(path: Path) -> onnxruntime.InferenceSession:
    """Open a graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _own_size(module: nn.Module) -> int:
    """The size that a timm model was made for; torchvision's take any, 224 by default."""
    return int(getattr(module, "default_cfg", {}).get("input_size", (3, SIZE, SIZE))[-1])


def _images(size: int, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pixels [B,3,S,S], and a cotangent by seed."""
    pixels = synthetic_images(size, 8)[seed : seed + batch].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32)), torch.tensor(seed)


def _cotangent(logits: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)


def _eager(network: nn.Module, layout: torch.memory_format) -> Gradient:
    def gradient(image: Tensor, _seed: Tensor) -> np.ndarray:
        pixels = image.contiguous(memory_format=layout).requires_grad_()
        logits = network(pixels)
        return torch.autograd.grad(logits, pixels, _cotangent(logits.detach()))[0].numpy()

    return gradient


def _run(session: Any, image: Tensor, _seed: Tensor) -> np.ndarray:
    """The gradient of the top-1 logit, by the graph alone."""
    zeros = np.zeros((len(image), session.get_inputs()[1].shape[1]), np.float32)
    (logits,) = session.run(["logits"], {"image": image.numpy(), "cotangent": zeros})
    cotangent = _cotangent(torch.from_numpy(logits)).numpy()
    return session.run(["gradient"], {"image": image.numpy(), "cotangent": cotangent})[0]


def _speed(session: Any, eager: Sequence[Gradient], one: tuple[Tensor, Tensor], rounds: int) -> dict[str, Any]:
    """Paired rounds on one thread: the gradient by the graph, and by eager PyTorch in both memory formats."""
    torch.set_num_threads(1)
    cotangent = np.zeros((1, session.get_inputs()[1].shape[1]), np.float32)
    cotangent[0, 0] = 1
    feeds = {"image": one[0].numpy(), "cotangent": cotangent}
    runs = [partial(session.run, None, feeds), *(partial(run, *one) for run in eager)]
    longest = max(_seconds(run) for run in runs)  # warms them up
    times = np.asarray([[_seconds(run) for run in runs] for _ in range(3 if longest > LONGEST else rounds)])
    ours, plain, last = (1e3 * np.median(times, 0)).round(2).tolist()
    return {
        "onnxruntime_ms": ours,
        "eager_ms": plain,
        "channels_last_ms": last,
        "times_eager": round(float(np.median(times[:, 1] / times[:, 0])), 2),
        "times_faster_eager": round(float(np.median(times[:, 1:].min(1) / times[:, 0])), 2),
    }


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _errors(found: list[Any], plain: list[Any], network: PixelClassifier, images: list[Any]) -> dict[str, float]:
    """Median relative L2 errors of the gradients by the graph and by eager PyTorch, from double precision.

    PyTorch's is that of the worse memory format: rounding decides on which side of a gate near zero a value falls. The class
    is that of single precision: where two logits are alike, rounding decides, too.
    """
    torch.set_num_threads(cores())
    network = network.double()
    network.precision = "fp64"
    exact = [_eager(network, torch.contiguous_format)(one.double(), seed) for one, seed in images]

    def error(gradients: list[Any]) -> float:
        return float(np.median(np.concatenate([relative_error(*pair) for pair in zip(gradients, exact, strict=True)])))

    return {"error": error(found), "eager_error": max(map(error, plain))}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)))
