"""A bundle's graph in TensorRT: the plan of one batch size, built or loaded, and running it on a CUDA stream.

Written against the documented API of TensorRT 10 (strongly typed networks, named tensors, `execute_async_v3`) and
NVIDIA's cuda-bindings. Not yet run on a GPU: see docs/deploying.md.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ....errors import DeviceUnavailableError, OutputError, UnseeError
from ....extras import require
from ....files import write_bytes
from ....locks import locked
from ...bundles.bundle import Bundle, Contents
from ...bundles.graphs import BATCH
from ..backends import RuntimeDevice
from ..driver import cuda_devices
from ..memory import CudaStream, OutOfMemoryError
from ..precision import bundle_precision
from .tensorrt_plans import PlanKey, plan_key, read_plan, write_plan

LOCK = ".plans.lock"


class TensorRtEngine:
    """A graph with a plan for one batch size.

    precision: see `bundle_precision`.
    A plan that fits GPU, TensorRT, precision, batch size and graph is taken from the bundle, else built and kept.
    """

    def __init__(self, bundle: Bundle[Contents], device: str = "auto", precision: str = "auto") -> None:
        self.runtime: Any = require("tensorrt", "tensorrt", "backend tensorrt")
        self.device = tensorrt_device(device)
        self.bundle = bundle
        self.precision = bundle_precision(precision, bundle.precision, True, "tensorrt", bundle.directory)
        self.stream = CudaStream(self.device.index)
        self.logger = self.runtime.Logger(self.runtime.Logger.WARNING)
        self.engine = self.context = None
        self.batch = 0

    @contextmanager
    def fitted(self, batch: int, allocate: Callable[[int], None]) -> Iterator[int]:
        """Make ready for a batch; yield the size that it has to be padded to, which is kept only if the block succeeds.

        allocate: takes the memory of a batch size, and runs it once if it likes; all earlier memory is given back before.
        """
        try:
            if batch > self.batch:
                self.prepare(batch)
                allocate(batch)
                self.batch = batch
            yield self.batch
        except Exception:
            self.batch = 0  # what failed at this size is made anew for the next
            raise

    def prepare(self, batch: int) -> None:
        """Load or build the plan of a batch size."""
        self.engine = self.context = None
        self.stream.free()
        key = plan_key(self.bundle, self.stream.device_name, self.runtime.__version__, self.precision, batch)
        plan = read_plan(self.bundle.directory, key) or self._built(key)
        self.engine = self.runtime.Runtime(self.logger).deserialize_cuda_engine(plan)
        if self.engine is None:
            raise DeviceUnavailableError(f"{key.path(self.bundle.directory)}: TensorRT cannot load this plan")
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise OutOfMemoryError(f"TensorRT found no memory to run a batch of {batch}; its log says more")

    def _built(self, key: PlanKey) -> bytes:
        """Build a plan and keep it; of several processes that need it at once, one does."""
        directory = self.bundle.directory
        try:
            with locked(directory / LOCK):
                plan = read_plan(directory, key)
                if plan is None:
                    plan = build_plan(self.runtime, self.logger, self.bundle, key)
                    write_plan(directory, key, plan)
                return plan
        except OSError as error:
            raise OutputError(f"{directory}: the plan cannot be kept there: {error}") from None

    def close(self) -> None:
        """Give all memory back."""
        self.batch, self.engine, self.context = 0, None, None
        self.stream.close()

    def enqueue(self, addresses: Mapping[str, int]) -> None:
        """Enqueue one pass; addresses: of every input and output, by name."""
        assert self.context is not None  # `prepare` comes first
        for name, address in addresses.items():
            if not self.context.set_tensor_address(name, int(address)):
                raise UnseeError(f"{self.bundle.graph_path}: TensorRT's plan has no tensor {name}")
        if not self.context.execute_async_v3(self.stream.handle):
            raise DeviceUnavailableError("TensorRT could not run the plan; its log says why")


def tensorrt_device(device: str) -> RuntimeDevice:
    """Return where TensorRT runs graphs; `DeviceUnavailableError` where there is no GPU, or none is asked for."""
    wanted = RuntimeDevice.parse(device, has_cuda=True)
    if not wanted.is_cuda or not cuda_devices():
        raise DeviceUnavailableError(f"backend tensorrt needs an NVIDIA GPU and its driver; device is {device}")
    return wanted


def prepare_plan(bundle: Bundle[Contents], batch_size: int, device: str = "auto", precision: str = "auto") -> None:
    """Build the TensorRT plan of a bundle for this machine's GPU and a batch size, and keep it in the bundle.

    precision: see `bundle_precision`. Raises `MissingExtraError` without TensorRT,
    `DeviceUnavailableError` without a GPU.
    """
    TensorRtEngine(bundle, device, precision).prepare(batch_size)


def build_plan(runtime: Any, logger: Any, bundle: Bundle[Contents], key: PlanKey) -> bytes:
    """Build the plan of a bundle for a key on the current GPU; the timing cache beside the bundle makes it quicker."""
    builder = runtime.Builder(logger)
    network = builder.create_network(1 << int(runtime.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = runtime.OnnxParser(network, logger)
    if not parser.parse_from_file(str(bundle.graph_path)):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise UnseeError(f"{bundle.graph_path}: TensorRT cannot read it: {reasons}")
    _fix_shapes(network, bundle, key.batch_size)
    config = _builder_config(runtime, builder, key)
    cache_path = bundle.graph_path.with_suffix(".timing.cache")
    cache = config.create_timing_cache(_bytes(cache_path))
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise OutOfMemoryError(
            f"{bundle.graph_path}: TensorRT could not build a plan for batches of {key.batch_size}, most often for want "
            "of memory; its log says why"
        )
    write_bytes(cache_path, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _builder_config(runtime: Any, builder: Any, key: PlanKey) -> Any:
    config = builder.create_builder_config()
    if key.precision == "tf32":
        config.set_flag(runtime.BuilderFlag.TF32)
    else:
        config.clear_flag(runtime.BuilderFlag.TF32)
    return config


def _fix_shapes(network: Any, bundle: Bundle[Contents], batch: int) -> None:
    """Make a network one of a single batch size, which needs no profile and no shapes when it runs.

    Inputs that are not those of the bundle's description are refused.
    """
    described = {spec.name: list(spec.shape) for spec in bundle.graph.inputs}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        free = [BATCH if side == -1 else side for side in tensor.shape]
        if described.get(tensor.name) != free:
            raise UnseeError(
                f"{bundle.graph_path}: its input {tensor.name} {free} is not the one that its bundle describes"
            )
        tensor.shape = tuple(batch if side == BATCH else side for side in free)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
