"""`unsee export`, `check` and `doctor`: bundles, and what this machine can run."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from ..engine.cleanup.presets import Preset
from ..engine.methods.method_config import MODEL_HELP
from ..engine.networks.model_exports import MapPrecision, What
from ..errors import UnseeError
from ..export.bundles.attribution_contents import CamKind
from ..export.bundles.bundle import Bundle, BundlePrecision
from ..export.bundles.descent_config import Precision
from ..terminal import stdout
from ..train.networks.input_choice import InputChoice
from ..train.networks.maps.network_input import NetworkChoice
from ..train.networks.model_names import load_classifier
from .everyday import everyday
from .preset_options import with_preset
from .records import Maker, with_record
from .run_records import FLAGS

DOCTOR_COLUMN = 20


@everyday(
    "preset", "weights", "precision", "probes", "tensorrt", "what", "layer", "input_size", "mean", "std", "labels"
)
@with_preset
@with_record("choice", InputChoice, flags=FLAGS)
def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    bundle: Annotated[Path, typer.Argument(help="directory of the bundle")],
    preset: Preset,
    weights: Annotated[str | None, typer.Option(help="weight file of the network that the model names")] = None,
    precision: Annotated[
        BundlePrecision, typer.Option(help="of the layers; fp16 for GPUs, int8 for map networks")
    ] = "fp32",
    probes: Annotated[str | None, typer.Option(help="photographs to verify on (default: synthetic images)")] = None,
    tensorrt: Annotated[bool, typer.Option("--tensorrt", help="also build this machine's TensorRT plan")] = False,
    aot: Annotated[
        bool, typer.Option("--aot", help="also compile the step for PyTorch on this machine (--backend aot)")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="of the TensorRT plan")] = 32,
    promote_iterations: Annotated[int | None, typer.Option(help="passes of a promoter (default: its own)")] = None,
    what: Annotated[
        What, typer.Option(help="the descent that unsee run takes, a gradient, or activation maps")
    ] = "descent",
    layer: Annotated[str, typer.Option(help="of --what cam: the layer whose activations make the map")] = "",
    cam: Annotated[CamKind, typer.Option(help="of --what cam: how")] = "grad-cam",
    *,
    choice: Maker[InputChoice],
) -> None:
    """Write a bundle that runs without PyTorch: ONNX graph, probe and parity report.

    The graph is the descent step of a classifier, or the whole of a map network. For example: unsee
    export torchvision:resnet50 resnet50/
    """
    from ..engine.networks.model_exports import ClassifierExport, compile_bundle, export_map_model
    from ..train.networks.maps.mapper_names import map_checkpoint

    if aot and (what != "descent" or map_checkpoint(model)):
        raise UnseeError("--aot compiles the descent of a classifier: leave it out")
    checkpoint = map_checkpoint(model)
    if checkpoint:
        if weights or precision not in get_args(MapPrecision) or what != "descent" or not choice().is_empty:
            raise UnseeError(
                f"{model}: map networks are exported in fp32 or int8, whole, with their own weights and input"
            )
        made = export_map_model(str(checkpoint), bundle, promote_iterations, probes, cast(MapPrecision, precision))
    elif promote_iterations is not None:
        raise UnseeError(f"{model} is no promoter, which --promote-iterations is for")
    elif precision == "int8":
        raise UnseeError(
            f"{model} is a classifier, whose gradient stays in floating point: int8 is for networks that make maps"
        )
    else:
        asked = ClassifierExport(bundle, preset, cast(Precision, precision), what, layer, cam, model)
        load = cache(lambda: load_classifier(model, weights, choice()))
        made = asked.run(load, probes)
        if aot:
            compile_bundle(load(), bundle)
    _written(made, bundle, batch_size if tensorrt else None)


def _written(made: Bundle[Any], bundle: Path, batch_size: int | None) -> None:
    """Show the report of a bundle; batch_size: of the TensorRT plan that is built first, None for none."""
    from ..export.parity.report import Parity

    if batch_size:
        from ..export.runtime.tensorrt.tensorrt_engine import prepare_plan

        prepare_plan(
            made, 1 if getattr(made.contents, "metadata", None) and made.contents.metadata.alone else batch_size
        )
    for line in Parity.from_json(made.parity).lines():
        stdout().print(line)
    stdout().print(f"{bundle}: {made.contents.title}, opset {made.opset}")


@everyday("input_size", "mean", "std", "activation", "like", "output_name", "probes", "tensorrt")
@with_record("choice", InputChoice, but=("labels",), flags=FLAGS)
@with_record("network", NetworkChoice)
def wrap(
    model: Annotated[str, typer.Argument(help="FILE.onnx of a map network, or package.module:factory")],
    bundle: Annotated[Path, typer.Argument(help="directory of the bundle")],
    probes: Annotated[str | None, typer.Option(help="photographs to verify on (default: synthetic images)")] = None,
    tensorrt: Annotated[bool, typer.Option("--tensorrt", help="also build this machine's TensorRT plan")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="of the TensorRT plan")] = 32,
    *,
    choice: Maker[InputChoice],
    network: Maker[NetworkChoice],
) -> None:
    """Write a bundle of anybody's map network: the same maps as a plain script makes with it, in bulk.

    For example: unsee wrap u2net.onnx u2net/ --probes photos/
    """
    from ..engine.networks.wrapping import wrap as wrapped

    _written(wrapped(model, bundle, choice(), network(), probes), bundle, batch_size if tensorrt else None)


def check(
    bundle: Annotated[Path, typer.Argument(help="directory of a bundle")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, tensorrt, ort-tensorrt or aot")] = "auto",
) -> None:
    """Run a bundle on its probe and compare with what PyTorch made of it; exit code 4 where they differ."""
    from ..engine.networks.model_exports import check_model

    for line in check_model(bundle, device, backend).lines():
        stdout().print(line)


def doctor() -> None:
    """Show versions, devices, installed extras, and what a run would use."""
    from ..engine.doctor import findings

    for subject, finding in findings():
        stdout().print(f"{subject:<{DOCTOR_COLUMN}} {finding}")
