"""ONNX Runtime on one device: which provider runs a graph, and the lanes over which a batch is split on the CPU."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import LifoQueue
from threading import Lock
from typing import Any, Literal, TypeVar

import numpy as np

from ...errors import DeviceUnavailableError, UnseeError, first_line
from ...extras import how_to_install, require
from ..bundles.bundle import Bundle, Contents
from ..bundles.graphs import BATCH
from .backends import RuntimeDevice
from .memory import is_out_of_memory
from .precision import bundle_precision

Backend = Literal["onnxruntime", "ort-tensorrt"]
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}

Part = TypeVar("Part")
Result = TypeVar("Result")


class Lanes:
    """A bundle's graph opened with ONNX Runtime, and what runs it: on the CPU lanes, which take images as they get free.

    On the CPU a lane has one thread, and several only as long as no batch was as large as the number of threads. On CUDA
    there is one lane, and a batch is padded to the largest that has run since memory last ran out. The backend ort-tensorrt
    takes the provider of TensorRT, which builds an engine on the first batch and keeps it beside the bundle. threads: of
    the CPU provider. precision: see `bundle_precision`.
    """

    def __init__(
        self, bundle: Bundle[Contents], device: str, threads: int, backend: Backend, precision: str = "auto"
    ) -> None:
        self.runtime: Any = require("onnxruntime", "cpu", "running a bundle")
        self.bundle, self.graph, self.backend = bundle, bundle.graph_path, backend
        self.device = resolved(self.runtime, device, backend)
        self.precision = bundle_precision(precision, bundle.precision, self.device.is_cuda, backend, bundle.directory)
        self.threads = threads
        self.pool = ThreadPoolExecutor(1 if self.device.is_cuda else self.threads)
        self.lanes: LifoQueue[Any] = LifoQueue()
        self.lane_threads = 1
        self.has_run = False
        self.padded = 0
        self._fitting = Lock()

    @property
    def count(self) -> int:
        """How many parts of a batch run at once."""
        return 1 if self.device.is_cuda else max(1, self.threads // self.lane_threads)

    def parts(self, images: int) -> int:
        """Return into how many parts a batch is cut: on the CPU lanes run an image at a time."""
        return 1 if self.device.is_cuda else images

    def start(self, lane: Callable[[Any], Any]) -> None:
        """Open the graph; lane: makes what runs a part of a batch with the runtime's session."""
        self.lane = lane
        if self.backend != "ort-tensorrt":  # which would build an engine for a batch of 1
            self._reopen(1)

    @contextmanager
    def fitted(self, batch: int) -> Iterator[int]:
        """Make ready for a batch; yield the size that it has to be padded to, which is kept only if the block succeeds."""
        try:
            if self.device.is_cuda:
                self._fit_device(batch)
                yield self.padded
            else:
                self._fit_threads(batch)
                yield batch
        except Exception as error:
            if self.device.is_cuda:
                self.padded = 0  # what failed at this size is opened anew for the next
                self.lanes = LifoQueue()
            if type(error).__module__.startswith("onnxruntime"):
                raise self._meaning(error) from error
            raise

    def _fit_device(self, batch: int) -> None:
        if batch > self.padded or self.lanes.empty():
            self.lanes = LifoQueue()  # its memory is given back before more is taken
            self._reopen(batch)
            self.padded = batch

    def _fit_threads(self, batch: int) -> None:
        with self._fitting:
            wanted = max(1, self.threads // batch)
            if self.has_run:
                wanted = min(wanted, self.lane_threads)
            if wanted != self.lane_threads:
                self.lane_threads = wanted
                self._reopen(batch)
            self.has_run = True

    def run(self, parts: Sequence[Part], work: Callable[[Any, Part], Result]) -> list[Result]:
        """Do the work on each part in whichever lane is free."""
        lanes = self.lanes

        def done(part: Part) -> Result:
            lane = lanes.get()
            try:
                return work(lane, part)
            finally:
                lanes.put(lane)  # and this thread takes it again, with what its core has in the cache

        return list(self.pool.map(done, parts))

    def close(self) -> None:
        """Give back threads and memory."""
        self.pool.shutdown(wait=False)
        self.lanes = LifoQueue()

    def on_device(self, value: np.ndarray) -> Any:
        """Return a copy of an array in the device's memory: on the CPU the runtime would share the array's."""
        return self.runtime.OrtValue.ortvalue_from_numpy(value.copy(), self.device.kind, self.device.index)

    def run_options(self, turn: int) -> Any:
        """Return the options of a run; on CUDA every turn is a captured graph of its own: its addresses are fixed."""
        options = self.runtime.RunOptions()
        if self.device.is_cuda:
            options.add_run_config_entry("gpu_graph_id", str(turn + 1))
        return options

    def _reopen(self, batch: int) -> None:
        session = self._open(batch)
        lanes: LifoQueue[Any] = LifoQueue()
        for _ in range(self.count):
            lanes.put(self.lane(session))
        self.lanes = lanes

    def _open(self, batch: int) -> Any:
        """Open the runtime's session and make sure that the device asked for is the one in use."""
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.lane_threads
        options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if self.device.is_cuda:
            options.add_free_dimension_override_by_name(BATCH, batch)
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        wanted = self._providers(batch)
        try:
            session = self.runtime.InferenceSession(str(self.graph), options, providers=wanted)
        except Exception as error:  # the runtime's exceptions have no common class
            raise self._meaning(error) from error
        expected, used = wanted[0][0], session.get_providers()
        if expected not in used:
            raise DeviceUnavailableError(f"{self.device} was asked for, but ONNX Runtime uses {', '.join(used)}")
        self._check_graph(session)
        return session

    def _meaning(self, error: Exception) -> Exception:
        """Return what it means that the runtime could not open or run the graph: on a CPU, or by name, a bad file."""
        reason = first_line(error)[:300]
        if is_out_of_memory(error):
            return error
        if not self.device.is_cuda or type(error).__name__ in ("InvalidProtobuf", "InvalidGraph", "NoSuchFile"):
            return UnseeError(
                f"{self.graph}: ONNX Runtime cannot run it, the bundle is damaged or not for it ({reason})"
            )
        return DeviceUnavailableError(f"{self.graph}: cannot be run on {self.device}: {reason}")

    def _check_graph(self, session: Any) -> None:
        """Refuse a graph whose inputs and outputs are not those of the description, before any memory is taken."""
        try:
            described = self.bundle.graph
            described.check(graph_tensors(session, described.inputs[0].shape[0]))
        except UnseeError as error:
            raise UnseeError(f"{self.graph}: not the graph that its bundle describes: {error}") from None

    def _providers(self, batch: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the execution providers with their options, the wanted one first."""
        if not self.device.is_cuda:
            return [(CPU, {})]
        if self.backend == "onnxruntime":
            return [(CUDA, cuda_options(self.device.index, self.precision))]
        options = tensorrt_options(self.device.index, self.graph, batch, bool(self.bundle.graph.state), self.precision)
        leftovers = {**cuda_options(self.device.index, self.precision), "enable_cuda_graph": "0"}
        return [(TENSORRT, options), (CUDA, leftovers)]


def resolved(runtime: Any, device: str, backend: Backend) -> RuntimeDevice:
    """Return where a backend of ONNX Runtime runs graphs; `DeviceUnavailableError` where it cannot run them there."""
    accelerator = CUDA if backend == "onnxruntime" else TENSORRT
    available = accelerator in runtime.get_available_providers()
    wanted = RuntimeDevice.parse(device, available)
    if wanted.is_cuda and not available:
        raise DeviceUnavailableError(
            f"{device} was asked for, but this onnxruntime has no {accelerator}: {how_to_install('gpu')}"
        )
    if not wanted.is_cuda and backend == "ort-tensorrt":
        raise DeviceUnavailableError(
            f"backend {backend} needs a CUDA device and {TENSORRT} of onnxruntime-gpu; device is {device}"
        )
    if wanted.is_cuda and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()  # CUDA's libraries as installed by pip
    return wanted


def graph_tensors(session: Any, batch: int | str = BATCH) -> dict[str, list[dict[str, Any]]]:
    """Return the inputs and outputs of the graph that a session has opened, as a bundle describes them.

    batch: what stands in its description for the size of a batch, one where that is built in.
    """

    def described(value: Any) -> dict[str, Any]:
        # What the session was opened for stands in place of the free size of the batch.
        shape = [batch, *value.shape[1:]] if value.shape else []
        return {"name": value.name, "type": TYPES.get(value.type, value.type), "shape": shape}

    return {
        "inputs": [described(value) for value in session.get_inputs()],
        "outputs": [described(value) for value in session.get_outputs()],
    }


def tensorrt_options(index: int, graph: Path, batch: int, has_state: bool, precision: str) -> dict[str, Any]:
    """Return options of the TensorRT provider; the batch size is in the cache's prefix, as its own key lacks shapes.

    has_state: turns read and write buffers in turn. The provider captures the first and replays it for all others, whatever
    their `gpu_graph_id`: it then has to run without a CUDA graph.
    """
    return {
        "device_id": index,
        "trt_fp16_enable": "1" if precision == "fp16" else "0",
        "trt_cuda_graph_enable": "0" if has_state else "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(graph.parent / "tensorrt"),
        "trt_engine_cache_prefix": f"{graph.stem}-{precision}-batch{batch}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(graph.parent / "tensorrt"),
    }


def cuda_options(index: int, precision: str) -> dict[str, Any]:
    """Return options of the CUDA provider, which is replayed as a graph.

    Algorithms of convolutions are those that cuDNN's heuristics name: the fastest of a trial may be another one the next
    time, and the same image then gets another map.
    """
    return {
        "device_id": index,
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "1" if precision == "tf32" else "0",
        "enable_cuda_graph": "1",
    }
