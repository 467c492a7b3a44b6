"""Making a bundle of a classifier, and checking one where it will run."""

import copy
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnseeError
from ..extras import require
from ..files import digest_of, write_json
from ..train.metadata import LABELS_FILE, labels_to_json
from .bundle import STEP_FILE, Bundle, descent_to_json, read_bundle, write_bundle
from .bundle_files import PROBE_FILE
from .config import DescentConfig, Precision
from .drafts import drafted
from .map_bundle import is_map_bundle, read_map_bundle
from .parity import LIMITS, Finish, Parity, Probe, make_probe, measure, raw_map, synthetic_images
from .sessions import SteppingSession, open_bundle

if TYPE_CHECKING:
    from ..train.checkpoints import Classifier

NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")
TOOLS = ("unsee", *NEEDED, "numpy")


def export_bundle(
    model: str,
    directory: Path,
    config: DescentConfig,
    preset: dict[str, Any] | None = None,
    weights: str | None = None,
    precision: Precision = "fp32",
    probes: np.ndarray | None = None,
    finish: Finish = raw_map,
) -> Bundle:
    """Export a classifier (see `load_classifier`) as a bundle and verify it against eager PyTorch.

    preset: kept in the bundle as the default of a run. precision: of the network's layers; half precision is for GPUs,
    and its limits of parity are wider (`parity.LIMITS`). probes: uint8 [B,S,S,3], images to verify on, synthetic where
    None; they and their maps stay in the bundle for `check_bundle`. finish: makes the maps that are compared. An older
    bundle at `directory` is replaced once the new one is verified. Raises `UnseeError` where the network holds an
    operator without adjoint or `directory` holds something else, `VerificationError` where the parity fails.
    """
    require_tools()
    from ..train.models import load_classifier

    if precision not in LIMITS:
        raise UnseeError(f"a bundle's precision must be one of {', '.join(LIMITS)}, got {precision!r}")
    with drafted(directory, model) as draft:
        classifier = load_classifier(model, weights)
        bundle = write_network(classifier, draft, config, preset, precision)
        _write_probe(classifier, bundle, probes, finish)
        write_bundle(bundle)
        parity = check_bundle(draft, finish=finish)
        write_bundle(replace(bundle, parity=parity.to_json()))
    return read_bundle(directory)


def require_tools() -> None:
    """Raise `MissingExtraError` naming the first package that exporting needs and that is not installed."""
    for package in NEEDED:
        require(package, "export", "exporting a model")


def check_bundle(
    directory: Path, device: str = "cpu", backend: str = "auto", finish: Finish = raw_map, threads: int | None = None
) -> Parity:
    """Run a bundle on its probe and compare with what eager PyTorch made of it. No torch needed.

    finish: the one that the bundle was exported with. Raises `UnseeError` on a damaged bundle, `VerificationError`
    where the results differ.
    """
    bundle = read_bundle(directory)

    def opened(config: DescentConfig) -> SteppingSession:
        return open_bundle(bundle, config, device, backend, threads)

    parity = measure(
        Probe.load(directory / PROBE_FILE, {"S": bundle.input.size, "N": len(bundle.labels)}),
        bundle.descent,
        opened,
        finish,
        bundle.precision,
    )
    parity.require(directory)
    return parity


def write_network(
    classifier: "Classifier",
    directory: Path,
    config: DescentConfig,
    preset: dict[str, Any] | None = None,
    precision: Precision = "fp32",
) -> Bundle:
    """Write a classifier's step.onnx and labels.json, and return the bundle that they become with a probe."""
    from ..train.models import fingerprint
    from .descent import PixelClassifier
    from .folding import fold_batch_norms
    from .graph import INPUTS, OUTPUTS, export_step
    from .onnx import OPSET, tensors, write_graph

    preset = preset or {}
    spec, classes = classifier.metadata.input, len(classifier.labels)
    module = copy.deepcopy(fold_batch_norms(classifier.module))  # not to be converted in place
    network = PixelClassifier(module, spec, precision).eval().requires_grad_(False)
    properties = {"model": fingerprint(classifier), "descent": digest_of(descent_to_json(config)), **_named(preset)}
    step = export_step(network, config, spec.size, classes, scaled=precision == "fp16")
    write_graph(step, directory / STEP_FILE, INPUTS, OUTPUTS, properties)
    write_json(directory / LABELS_FILE, labels_to_json(classifier.labels))
    return Bundle(
        directory=directory,
        model_id=properties["model"],
        network=classifier.metadata.network,
        input=spec,
        labels=classifier.labels,
        descent=config,
        preset=preset,
        precision=precision,
        opset=OPSET,
        tensors=tensors(directory / STEP_FILE),
        versions={tool: version(tool) for tool in TOOLS},
    )


def _write_probe(classifier: "Classifier", bundle: Bundle, images: np.ndarray | None, finish: Finish) -> None:
    layouts = [{"channels_last": True}, {"channels_last": False}, {"precision": "fp64"}]
    eager, other, exact = (partial(_eager, classifier, layout) for layout in layouts)
    pixels = synthetic_images(bundle.input.size) if images is None else images
    make_probe(pixels, bundle.descent, eager, other, exact, finish).save(bundle.directory / PROBE_FILE)


def _eager(classifier: "Classifier", layout: dict[str, Any], config: DescentConfig) -> SteppingSession:
    from .torch_session import TorchSession

    return TorchSession(classifier, config, "cpu", **layout)


def _named(preset: dict[str, Any]) -> dict[str, str]:
    return {"preset": str(preset["name"])} if "name" in preset else {}


def build_plan(directory: Path, batch_size: int, device: str = "auto", precision: str | None = None) -> None:
    """Build the TensorRT plan of a bundle for this machine's GPU and a batch size, and keep it in the bundle.

    precision: fp32 or tf32 for a bundle in fp32, its own where None. Raises `MissingExtraError` without TensorRT,
    `DeviceUnavailableError` without a GPU.
    """
    from .tensorrt_engine import TensorRtEngine

    bundle = read_map_bundle(directory) if is_map_bundle(directory) else read_bundle(directory)
    TensorRtEngine(bundle, device, precision).prepare(batch_size)
