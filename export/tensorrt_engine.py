"""A bundle's graph in TensorRT: the plan of one batch size, built or loaded, and running it on a CUDA stream.

Written against the documented API of TensorRT 10 (strongly typed networks, named tensors, `execute_async_v3`) and
NVIDIA's cuda-bindings. Not yet run on a GPU: see docs/deploying.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DeviceUnavailableError, UnseeError
from ..extras import require
from .bundle_files import GraphBundle
from .cuda_memory import CudaStream
from .devices import RuntimeDevice, has_nvidia_driver
from .plans import PlanKey, plan_key, read_plan, write_plan


class TensorRtEngine:
    """A graph with a plan for one batch size.

    precision: fp32 or tf32 for a bundle in fp32 (TF32 rounds the factors of products to 10 bits); fp16 for one in fp16.
    A plan that fits GPU, TensorRT, precision, batch size and graph is taken from the bundle, else built and kept.
    """

    def __init__(self, bundle: GraphBundle, device: str = "auto", precision: str | None = None) -> None:
        self.runtime: Any = require("tensorrt", "tensorrt", "backend tensorrt")
        self.device = RuntimeDevice.parse(device, has_cuda=True)
        if not self.device.is_cuda or not has_nvidia_driver():
            raise DeviceUnavailableError(f"backend tensorrt needs an NVIDIA GPU and its driver; device is {device}")
        self.bundle = bundle
        self.precision = precision or bundle.precision
        self.stream = CudaStream(self.device.index)
        self.logger = self.runtime.Logger(self.runtime.Logger.WARNING)
        self.batch = 0

    def prepare(self, batch: int) -> None:
        """Load or build the plan of a batch size."""
        self.batch = batch
        key = plan_key(self.bundle, self.stream.device_name, self.runtime.__version__, self.precision, batch)
        plan = read_plan(self.bundle.directory, key)
        if plan is None:
            plan = build_plan(self.runtime, self.logger, self.bundle, key)
            write_plan(self.bundle.directory, key, plan)
        engine = self.runtime.Runtime(self.logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise DeviceUnavailableError(f"{key.path(self.bundle.directory)}: TensorRT cannot load this plan")
        self.engine, self.context = engine, engine.create_execution_context()

    def enqueue(self, addresses: Mapping[str, int]) -> None:
        """Enqueue one pass; addresses: of every input and output, by name."""
        for name, address in addresses.items():
            self.context.set_tensor_address(name, int(address))
        if not self.context.execute_async_v3(self.stream.handle):
            raise DeviceUnavailableError("TensorRT could not run the plan; its log says why")


def build_plan(runtime: Any, logger: Any, bundle: GraphBundle, key: PlanKey) -> bytes:
    """Build the plan of a bundle for a key on the current GPU; the timing cache beside the bundle makes it quicker."""
    builder = runtime.Builder(logger)
    network = builder.create_network(1 << int(runtime.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = runtime.OnnxParser(network, logger)
    if not parser.parse_from_file(str(bundle.graph_path)):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise UnseeError(f"{bundle.graph_path}: TensorRT cannot read it: {reasons}")
    config = builder.create_builder_config()
    if key.precision == "tf32":
        config.set_flag(runtime.BuilderFlag.TF32)
    else:
        config.clear_flag(runtime.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(key.batch_size if side == -1 else side for side in tensor.shape)
        profile.set_shape(tensor.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    cache_path = bundle.graph_path.with_suffix(".timing.cache")
    cache = config.create_timing_cache(_bytes(cache_path))
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UnseeError(f"{bundle.graph_path}: TensorRT could not build a plan; its log says why")
    cache_path.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
