"""The session that runs a bundle's step.onnx with ONNX Runtime, on the CPU or a CUDA device. No torch needed."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceUnavailableError
from ..extras import require
from .bundle import Bundle, check_constants
from .config import DescentConfig
from .devices import RuntimeDevice
from .sessions import STATE, SessionInfo, State, SteppingSession

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


class OnnxRuntimeSession(SteppingSession):
    """ONNX Runtime with bound, reused buffers: between iterations nothing is copied but two scalars.

    On the CPU a batch is split over lanes of one thread each, which never wait for one another and run an image at a
    time: its activations stay in the cache, and no result can depend on batch mates. A first batch smaller than the
    number of threads gives each lane several. On CUDA there is one lane, the batch size is fixed by the first batch,
    later ones are padded to it, and the step is replayed as a CUDA graph. threads: of the CPU provider, all that the
    process may use where None.
    """

    backend = "onnxruntime"
    accelerator = CUDA
    opens_at_once = True

    def __init__(self, bundle: Bundle, config: DescentConfig, device: str = "auto", threads: int | None = None) -> None:
        check_constants(bundle, config)
        self.runtime: Any = require("onnxruntime", "cpu", "running a bundle")
        self.path = bundle.graph_path
        self.device = self._resolved(device)
        self.threads = threads or usable_threads()
        self.pool = ThreadPoolExecutor(self.threads)
        super().__init__(
            SessionInfo(bundle.model_id, bundle.labels, bundle.input.size, self.backend, str(self.device)), config
        )
        self.largest_batch = 0
        self.lane_threads = 1
        if self.opens_at_once:
            self._reopen(1)

    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """See `SteppingSession.advance`."""
        count = len(state.image)
        if not self.largest_batch or (self.device.is_cuda and count > self.largest_batch):
            self._fit(count)
        if self.device.is_cuda:
            state = state.padded(self.largest_batch)
        parts = state.split(1 if self.device.is_cuda else max(1, self.threads // self.lane_threads))
        steps = [(number, self.config.step_at(number)) for number in range(first, first + iterations)]
        ends = self.pool.map(lambda lane, part: self._run(lane, part, steps), self.lanes, parts)
        return State.joined(list(ends)).first(count)

    def _run(self, lane: "_Lane", part: State, steps: list[tuple[int, float]]) -> State:
        pieces = [part] if self.device.is_cuda else part.split(len(part.image))
        return State.joined([lane.run(piece, steps) for piece in pieces])

    def _fit(self, batch: int) -> None:
        """Fix what the first batch decides: threads of a lane, and on CUDA the size that everything is padded to."""
        lane_threads = max(1, self.threads // batch)
        self.largest_batch = batch
        if self.device.is_cuda or lane_threads != self.lane_threads:
            self.lane_threads = lane_threads
            self._reopen(batch)

    def _reopen(self, batch: int) -> None:
        self.session = self._open(batch)
        size, classes = self.info.input_size, len(self.info.labels)
        self.lanes = [
            _Lane(self.runtime, self.session, self.device, size, classes)
            for _ in range(max(1, self.threads // self.lane_threads))
        ]

    def _open(self, batch: int) -> Any:
        """Open the runtime's session and make sure that the device asked for is the one in use."""
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.lane_threads
        options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if self.device.is_cuda:
            options.add_free_dimension_override_by_name("batch", batch)
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        wanted = self.providers()
        try:
            session = self.runtime.InferenceSession(str(self.path), options, providers=wanted)
        except Exception as error:  # the runtime's exceptions have no common class
            raise DeviceUnavailableError(f"{self.path}: cannot be run on {self.device}: {error}") from error
        expected, used = wanted[0][0], session.get_providers()
        if expected not in used:
            raise DeviceUnavailableError(f"{self.device} was asked for, but ONNX Runtime uses {', '.join(used)}")
        return session

    def providers(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the execution providers with their options, the wanted one first."""
        if not self.device.is_cuda:
            return [(CPU, {})]
        return [(CUDA, cuda_options(self.device.index))]

    def _resolved(self, device: str) -> "RuntimeDevice":
        available = self.accelerator in self.runtime.get_available_providers()
        wanted = RuntimeDevice.parse(device, available)
        if wanted.is_cuda and not available:
            raise DeviceUnavailableError(
                f"{device} was asked for, but this onnxruntime has no {self.accelerator}: pip install 'unsee[gpu]'"
            )
        if wanted.is_cuda and hasattr(self.runtime, "preload_dlls"):
            self.runtime.preload_dlls()  # CUDA's libraries as installed by pip
        return wanted


class OrtTensorRtSession(OnnxRuntimeSession):
    """ONNX Runtime's TensorRT provider: engines are built on the first batch and kept beside the bundle."""

    backend = "ort-tensorrt"
    accelerator = TENSORRT
    opens_at_once = False  # which would build an engine for a batch of 1

    def providers(self) -> list[tuple[str, dict[str, Any]]]:
        """Return TensorRT first, CUDA for what it leaves over."""
        return [
            (TENSORRT, tensorrt_options(self.device.index, self.path, self.largest_batch)),
            (CUDA, {"device_id": self.device.index, "cudnn_conv_algo_search": "EXHAUSTIVE"}),
        ]

    def _resolved(self, device: str) -> "RuntimeDevice":
        wanted = super()._resolved(device)
        if not wanted.is_cuda:
            raise DeviceUnavailableError(
                f"backend {self.backend} needs a CUDA device and {TENSORRT} of onnxruntime-gpu; device is {device}"
            )
        return wanted


def tensorrt_options(index: int, step: Path, batch: int) -> dict[str, Any]:
    """Return options of the TensorRT provider; the batch size is in the cache's prefix, as its own key lacks shapes."""
    return {
        "device_id": index,
        "trt_cuda_graph_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(step.parent / "tensorrt"),
        "trt_engine_cache_prefix": f"{step.stem}-batch{batch}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(step.parent / "tensorrt"),
    }


def cuda_options(index: int) -> dict[str, Any]:
    """Return options of the CUDA provider: convolutions timed once for the fixed shapes, then replayed as a graph."""
    return {"device_id": index, "cudnn_conv_algo_search": "EXHAUSTIVE", "enable_cuda_graph": "1"}


def usable_threads() -> int:
    """Return the threads that the process may use: its CPUs, or OMP_NUM_THREADS as in other numeric libraries."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


class _Lane:
    """Runs its part of every batch in memory of its own."""

    def __init__(self, runtime: Any, session: Any, device: RuntimeDevice, size: int, classes: int) -> None:
        self.runtime, self.session, self.device = runtime, session, device
        self.shape = (size, classes)
        self.buffers: _Buffers | None = None

    def run(self, state: State, steps: list[tuple[int, float]]) -> State:
        """Run the iterations of the given numbers and step sizes."""
        batch = len(state.image)
        if self.buffers is None or self.buffers.batch != batch:
            self.buffers = _Buffers(self.lanes, self.session, State.empty(batch, *self.shape))
        self.buffers.load(state)
        for turn, (number, step_size) in enumerate(steps):
            self.buffers.run(self.session, turn, number, step_size)
        return self.buffers.state(len(steps))


class _Buffers:
    """Device memory of one batch size: two copies of the state, each iteration reads one and writes the other."""

    def __init__(self, lanes: Lanes, session: Any, empty: State) -> None:
        self.batch = len(empty.image)
        self.states = [{name: lanes.on_device(value) for name, value in empty.named().items()} for _ in range(2)]
        self.iteration = lanes.on_device(np.zeros((), np.int64))
        self.step_size = lanes.on_device(np.zeros((), np.float32))
        self.logits = lanes.on_device(empty.reference)
        self.bindings = [self._bind(session, self.states[turn], self.states[1 - turn]) for turn in range(2)]
        self.options = [lanes.run_options(turn) for turn in range(2)]

    def load(self, state: State) -> None:
        """Set the state that the first iteration reads."""
        for name, value in state.named().items():
            self.states[0][name].update_inplace(value)

    def run(self, session: Any, turn: int, iteration: int, step_size: float) -> None:
        """Run one iteration, the `turn`-th since `load`."""
        self.iteration.update_inplace(np.array(iteration, np.int64))
        self.step_size.update_inplace(np.array(step_size, np.float32))
        session.run_with_iobinding(self.bindings[turn % 2], self.options[turn % 2])

    def state(self, turns: int) -> State:
        """Return a copy of the state after so many iterations."""
        last = self.states[turns % 2]
        return State(*(last[name].numpy().copy() for name in STATE))

    def _bind(self, session: Any, read: dict[str, Any], written: dict[str, Any]) -> Any:
        binding = session.io_binding()
        for name in STATE:
            binding.bind_ortvalue_input(name, read[name])
            binding.bind_ortvalue_output(f"next_{name}", written[name])
        binding.bind_ortvalue_input("iteration", self.iteration)
        binding.bind_ortvalue_input("step_size", self.step_size)
        binding.bind_ortvalue_output("logits", self.logits)
        return binding
