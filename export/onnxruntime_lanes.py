"""ONNX Runtime on one device: which provider runs a graph, and the lanes over which a batch is split on the CPU."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ..errors import DeviceUnavailableError
from ..extras import require
from .devices import RuntimeDevice

Backend = Literal["onnxruntime", "ort-tensorrt"]
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

Part = TypeVar("Part")
Result = TypeVar("Result")


class Lanes:
    """A graph opened with ONNX Runtime, and what runs it: on the CPU several lanes, which never wait for one another.

    On the CPU a lane has one thread; a first batch smaller than the number of threads gives each lane several. On CUDA
    there is one lane, and the batch size is fixed by the first batch. The backend ort-tensorrt takes the provider of
    TensorRT, which builds an engine on the first batch and keeps it beside the bundle. threads: of the CPU provider.
    """

    def __init__(self, graph: Path, device: str, threads: int, backend: Backend) -> None:
        self.runtime: Any = require("onnxruntime", "cpu", "running a bundle")
        self.graph, self.backend = graph, backend
        self.device = self._resolved(device)
        self.threads = threads
        self.pool = ThreadPoolExecutor(self.threads)
        self.largest_batch = 0
        self.lane_threads = 1

    @property
    def count(self) -> int:
        """How many parts of a batch run at once."""
        return 1 if self.device.is_cuda else max(1, self.threads // self.lane_threads)

    def pieces(self, images: int) -> int:
        """Return into how many pieces a lane cuts its images: on the CPU it runs one at a time."""
        return 1 if self.device.is_cuda else images

    def start(self, lane: Callable[[Any], Any]) -> None:
        """Open the graph; lane: makes what runs a part of a batch with the runtime's session."""
        self.lane = lane
        if self.backend != "ort-tensorrt":  # which would build an engine for a batch of 1
            self._reopen(1)

    def fitted(self, batch: int) -> int:
        """Let the first batch decide what it decides; return the size that a batch has to be padded to."""
        if not self.largest_batch or (self.device.is_cuda and batch > self.largest_batch):
            lane_threads = max(1, self.threads // batch)
            self.largest_batch = batch
            if self.device.is_cuda or lane_threads != self.lane_threads:
                self.lane_threads = lane_threads
                self._reopen(batch)
        return self.largest_batch if self.device.is_cuda else batch

    def run(self, parts: Sequence[Part], work: Callable[[Any, Part], Result]) -> list[Result]:
        """Do the work on each part in a lane of its own."""
        return list(self.pool.map(work, self.lanes, parts))

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
        self.lanes = [self.lane(session) for _ in range(self.count)]

    def _open(self, batch: int) -> Any:
        """Open the runtime's session and make sure that the device asked for is the one in use."""
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.lane_threads
        options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if self.device.is_cuda:
            options.add_free_dimension_override_by_name("batch", batch)
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        wanted = self._providers()
        try:
            session = self.runtime.InferenceSession(str(self.graph), options, providers=wanted)
        except Exception as error:  # the runtime's exceptions have no common class
            raise DeviceUnavailableError(f"{self.graph}: cannot be run on {self.device}: {error}") from error
        expected, used = wanted[0][0], session.get_providers()
        if expected not in used:
            raise DeviceUnavailableError(f"{self.device} was asked for, but ONNX Runtime uses {', '.join(used)}")
        return session

    def _providers(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the execution providers with their options, the wanted one first."""
        if not self.device.is_cuda:
            return [(CPU, {})]
        if self.backend == "onnxruntime":
            return [(CUDA, cuda_options(self.device.index))]
        return [  # TensorRT first, CUDA for what it leaves over
            (TENSORRT, tensorrt_options(self.device.index, self.graph, self.largest_batch)),
            (CUDA, {"device_id": self.device.index, "cudnn_conv_algo_search": "EXHAUSTIVE"}),
        ]

    def _resolved(self, device: str) -> RuntimeDevice:
        accelerator = CUDA if self.backend == "onnxruntime" else TENSORRT
        available = accelerator in self.runtime.get_available_providers()
        wanted = RuntimeDevice.parse(device, available)
        if wanted.is_cuda and not available:
            raise DeviceUnavailableError(
                f"{device} was asked for, but this onnxruntime has no {accelerator}: pip install 'unsee[gpu]'"
            )
        if not wanted.is_cuda and self.backend == "ort-tensorrt":
            raise DeviceUnavailableError(
                f"backend {self.backend} needs a CUDA device and {TENSORRT} of onnxruntime-gpu; device is {device}"
            )
        if wanted.is_cuda and hasattr(self.runtime, "preload_dlls"):
            self.runtime.preload_dlls()  # CUDA's libraries as installed by pip
        return wanted


def tensorrt_options(index: int, graph: Path, batch: int) -> dict[str, Any]:
    """Return options of the TensorRT provider; the batch size is in the cache's prefix, as its own key lacks shapes."""
    return {
        "device_id": index,
        "trt_cuda_graph_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(graph.parent / "tensorrt"),
        "trt_engine_cache_prefix": f"{graph.stem}-batch{batch}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(graph.parent / "tensorrt"),
    }


def cuda_options(index: int) -> dict[str, Any]:
    """Return options of the CUDA provider: convolutions timed once for the fixed shapes, then replayed as a graph."""
    return {"device_id": index, "cudnn_conv_algo_search": "EXHAUSTIVE", "enable_cuda_graph": "1"}
