"""Which precision a network runs in: what was asked for where it can be had, else what the device is best used with."""

from typing import Literal, get_args

from ...errors import DeviceUnavailableError, UnseeError

RunPrecision = Literal["auto", "fp32", "tf32", "fp16"]
"""fp32: products of full precision. tf32: their factors rounded to 10 bits, as NVIDIA GPUs do. fp16: half precision of the
layers; pixels, logits and the cost stay in float32. bf16 is not offered: its gradients are off by a quarter."""
PRECISION_HELP = (
    "of the network's layers: fp32, tf32 or fp16; auto is a bundle's own, else fp16 on a GPU and fp32 on a CPU"
)


def check_precision(precision: str) -> None:
    """Raise `UnseeError` on a word that names no precision; whether it can be had is not asked."""
    if precision not in get_args(RunPrecision):
        raise UnseeError(f"unknown precision {precision!r}: use one of {', '.join(get_args(RunPrecision))}")


def network_precision(wanted: str, on_cuda: bool) -> str:
    """Return the precision of a network that can have any: of a checkpoint, in PyTorch or exported to be run at once."""
    check_precision(wanted)
    if wanted == "auto":
        return "fp16" if on_cuda else "fp32"
    _check_rounding(wanted, on_cuda)
    return wanted


def full_precision(wanted: str, on_cuda: bool, named: str) -> str:
    """Return the precision of a network whose layers stay in float32; named: what it is, for the error."""
    check_precision(wanted)
    if wanted == "fp16":
        raise UnseeError(f"{named} runs in fp32 or tf32: leave --precision out")
    _check_rounding(wanted, on_cuda)
    return "fp32" if wanted == "auto" else wanted


def bundle_precision(wanted: str, own: str, on_cuda: bool, backend: str, named: object) -> str:
    """Return the precision that a bundle exported in `own` runs in; named: its directory, for the error.

    Layers are of the type that they have in the graph; only whether products of float32 are rounded is left to choose. The
    TensorRT provider of ONNX Runtime rounds them in any case.
    """
    check_precision(wanted)
    rounds = backend == "ort-tensorrt" and own == "fp32"
    if own == "int8":
        return _eight_bits(wanted, on_cuda, backend, named)
    if wanted == "auto":
        return "tf32" if rounds else own
    if "fp16" in (wanted, own) and wanted != own:
        raise UnseeError(
            f"{named} was exported in {own} and cannot run in {wanted}: export it with --precision {wanted}"
        )
    _check_rounding(wanted, on_cuda)
    if rounds and wanted == "fp32":
        raise UnseeError("backend ort-tensorrt rounds products to tf32: use --precision tf32, or backend tensorrt")
    return wanted


def _eight_bits(wanted: str, on_cuda: bool, backend: str, named: object) -> str:
    """Return the precision of a quantised bundle, which runs in ONNX Runtime on a processor."""
    if wanted != "auto":
        raise UnseeError(f"{named} was exported in int8, which is its precision: leave --precision out")
    if on_cuda or backend != "onnxruntime":
        raise UnseeError(
            f"{named} was exported in int8, for ONNX Runtime on a CPU: export it in fp32 for another place"
        )
    return "int8"


def layers_of(precision: str) -> Literal["fp32", "fp16"]:
    """Return the type of the layers of a network that runs in a precision."""
    return "fp16" if precision == "fp16" else "fp32"


def _check_rounding(wanted: str, on_cuda: bool) -> None:
    if wanted == "tf32" and not on_cuda:
        raise DeviceUnavailableError("precision tf32 is a rounding of NVIDIA GPUs, and this runs on a CPU: use fp32")
