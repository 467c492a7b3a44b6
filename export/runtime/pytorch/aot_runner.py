"""The runner of packages that were compiled ahead of time (AOTInductor): PyTorch without its tracing."""

import torch

from ...bundles.bundle import Bundle, Contents
from ..precision import bundle_precision
from .aot_packages import find_package
from .torch_runner import TorchRunner, torch_device


class AotRunner(TorchRunner):
    """A bundle's package on the device that it was compiled for. threads: not used. precision: see `bundle_precision`."""

    def __init__(
        self,
        bundle: Bundle[Contents],
        device: str = "auto",
        threads: int | None = None,  # noqa: ARG002
        backend: str = "aot",
        precision: str = "auto",
    ) -> None:
        place = torch_device(device)
        chosen = bundle_precision(precision, bundle.precision, place.type == "cuda", backend, bundle.directory)
        function = torch._inductor.aoti_load_package(str(find_package(bundle, place)))
        super().__init__(
            function, bundle.graph, place, layout=torch.contiguous_format, backend=backend, precision=chosen
        )
