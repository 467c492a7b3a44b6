"""The session that runs a bundle's step with TensorRT itself, as one CUDA graph of all iterations.

Written against the documented API of TensorRT 10 (strongly typed networks, named tensors, `execute_async_v3`) and
NVIDIA's cuda-bindings. Not yet run on a GPU: see docs/deploying.md.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceUnavailableError, UnseeError
from ..extras import require
from .bundle import Bundle, check_constants
from .config import DescentConfig
from .cuda_memory import CudaStream
from .devices import RuntimeDevice, has_nvidia_driver
from .plans import PlanKey, plan_key, read_plan, write_plan
from .sessions import STATE, SessionInfo, State, SteppingSession

TIMING_CACHE = "step.timing.cache"


class TensorRtSession(SteppingSession):
    """TensorRT with a plan for the first batch's size; smaller batches are padded to it, a larger one is built anew.

    precision: fp32 or tf32 for a bundle in fp32 (TF32 rounds the factors of products to 10 bits); fp16 for one in fp16.
    A plan that fits GPU, TensorRT, precision, batch size and step.onnx is taken from the bundle, else built and kept.
    """

    def __init__(
        self, bundle: Bundle, config: DescentConfig, device: str = "auto", precision: str | None = None
    ) -> None:
        check_constants(bundle, config)
        self.runtime: Any = require("tensorrt", "tensorrt", "backend tensorrt")
        wanted = RuntimeDevice.parse(device, has_cuda=True)
        if not wanted.is_cuda or not has_nvidia_driver():
            raise DeviceUnavailableError(f"backend tensorrt needs an NVIDIA GPU and its driver; device is {device}")
        self.bundle = bundle
        self.precision = precision or bundle.precision
        self.stream = CudaStream(wanted.index)
        self.logger = self.runtime.Logger(self.runtime.Logger.WARNING)
        self.batch = 0
        super().__init__(
            SessionInfo(bundle.model_id, bundle.labels, bundle.input.size, "tensorrt", str(wanted)), config
        )

    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """See `SteppingSession.advance`."""
        count = len(state.image)
        if count > self.batch:
            self._prepare(count)
        padded = state.padded(self.batch)
        for name, value in padded.named().items():
            self.stream.upload(value, self.states[0][name])
        self._loop(first, iterations)
        last = self.states[iterations % 2]
        return State(*(self.stream.download(last[name], like)[:count] for name, like in padded.named().items()))

    def _prepare(self, batch: int) -> None:
        """Load or build the plan of a batch size and allocate its memory."""
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
        size, classes = self.info.input_size, len(self.info.labels)
        like = State.empty(batch, size, classes).named()
        self.states = [{name: self.stream.allocate(value.nbytes) for name, value in like.items()} for _ in range(2)]
        self.logits = self.stream.allocate(like["reference"].nbytes)
        self.graphs: dict[tuple[int, int], Callable[[], None]] = {}

    def _loop(self, first: int, iterations: int) -> None:
        """Launch the captured loop; the first time, run it once uncaptured, as TensorRT asks for, and capture it."""
        key = (first, iterations)
        if key not in self.graphs:
            numbers = np.arange(first, first + iterations, dtype=np.int64)
            sizes = np.array([self.config.step_at(number) for number in range(first, first + iterations)], np.float32)
            counters = self.stream.uploaded(numbers), self.stream.uploaded(sizes)
            state = [self.stream.saved(self.states[0][name]) for name in STATE]
            self._enqueue(iterations, *counters)
            for name, saved in zip(STATE, state, strict=True):
                self.stream.restore(saved, self.states[0][name])
            self.graphs[key] = self.stream.captured(lambda: self._enqueue(iterations, *counters))
        self.graphs[key]()

    def _enqueue(self, iterations: int, numbers: int, sizes: int) -> None:
        """Enqueue every iteration; numbers, sizes: addresses of the iterations' numbers and step sizes."""
        for turn in range(iterations):
            read, written = self.states[turn % 2], self.states[1 - turn % 2]
            addresses = {**read, **{f"next_{name}": address for name, address in written.items()}}
            addresses |= {"iteration": numbers + 8 * turn, "step_size": sizes + 4 * turn, "logits": self.logits}
            for name, address in addresses.items():
                self.context.set_tensor_address(name, int(address))
            if not self.context.execute_async_v3(self.stream.handle):
                raise DeviceUnavailableError("TensorRT could not run the plan; its log says why")


def build_plan(runtime: Any, logger: Any, bundle: Bundle, key: PlanKey) -> bytes:
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
    cache_path = bundle.directory / TIMING_CACHE
    cache = config.create_timing_cache(_bytes(cache_path))
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UnseeError(f"{bundle.graph_path}: TensorRT could not build a plan; its log says why")
    cache_path.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
