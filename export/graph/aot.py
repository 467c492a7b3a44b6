"""Compiling a classifier's descent step ahead of time, gradient included, for boxes with PyTorch (AOTInductor)."""

import warnings
from typing import TYPE_CHECKING

import torch
from torch.export.passes import move_to_device_pass

from ...errors import UnseeError, first_line
from ...files import atomic_path
from ..bundles.bundle import Bundle
from ..bundles.descent_contents import DescentContents
from ..parity.checking import check_bundle
from ..parity.descent_parity import Finish, raw_map
from ..runtime.pytorch.aot_packages import describe_package, package_path
from ..runtime.pytorch.torch_runner import torch_device
from .step import pixel_classifier
from .tracing import export_step

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier


def prepare_package(
    classifier: "Classifier", bundle: Bundle[DescentContents], device: str = "auto", finish: Finish = raw_map
) -> None:
    """Compile the step of a bundle's classifier for a device of this machine, keep it in the bundle, and verify it.

    finish: as of `check_bundle`. Raises `UnseeError` where it cannot be compiled (a C++ compiler is needed),
    `VerificationError` where its results differ from eager PyTorch's; no package is left then.
    """
    contents, place = bundle.contents, torch_device(device)
    network = pixel_classifier(classifier, bundle.precision)  # pyright: ignore[reportArgumentType]
    size, classes, scaled = contents.input.size, len(contents.labels), bundle.precision == "fp16"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, to itself
        program = export_step(network, contents.descent, size, classes, scaled)
    path = package_path(bundle, place)
    with atomic_path(path) as temporary:
        compiled = temporary.with_suffix(".pt2")  # the compiler wants the suffix
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                placed = move_to_device_pass(program, place)
                torch._inductor.aoti_compile_and_package(placed, package_path=str(compiled))
        except Exception as error:  # whatever the compiler raises
            raise UnseeError(
                f"the step cannot be compiled ahead of time: {type(error).__name__}: {first_line(error)}"
            ) from error
        compiled.replace(temporary)
    describe_package(bundle, place)
    try:
        check_bundle(bundle.directory, str(place), "aot", finish)
    except Exception:
        path.unlink()
        raise
