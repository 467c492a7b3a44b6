"""A stand-in for ONNX Runtime with CUDA: sessions of one fixed batch size run on the CPU, in a memory that is limited."""

from types import SimpleNamespace
from typing import Any

import onnxruntime

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
WORDS = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 1048576"


class RuntimeException(Exception):
    """As the runtime's own, which derives from Exception."""


RuntimeException.__module__ = "onnxruntime.capi.onnxruntime_pybind11_state"


class CudaRuntime:
    """ONNX Runtime as far as `Lanes` uses it.

    room: images that fit into memory at once. ran: the size of every batch that ran. opened: sizes of the sessions.
    A session that captures replays what it saw first, at the addresses of then: the provider of CUDA for each
    `gpu_graph_id`, that of TensorRT for all.
    """

    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel
    RunOptions = onnxruntime.RunOptions

    def __init__(self, room: int) -> None:
        self.room = room
        self.ran: list[int] = []
        self.opened: list[int] = []
        self.OrtValue = SimpleNamespace(
            ortvalue_from_numpy=lambda value, kind, index: onnxruntime.OrtValue.ortvalue_from_numpy(value)
        )

    def get_available_providers(self) -> list[str]:
        """TensorRT and CUDA are there."""
        return [TENSORRT, CUDA, "CPUExecutionProvider"]

    def SessionOptions(self) -> Any:
        """Return options that remember the size of the batch."""
        options = SimpleNamespace(batch=0)
        options.add_free_dimension_override_by_name = lambda name, value: setattr(options, "batch", value)
        options.add_session_config_entry = lambda name, value: None
        return options

    def InferenceSession(self, path: str, options: Any, providers: Any) -> "_Session":
        """Open a graph for one batch size."""
        self.opened.append(options.batch)
        return _Session(self, path, options.batch, providers[0])


class _Session:
    def __init__(self, runtime: CudaRuntime, path: str, batch: int, provider: tuple[str, dict[str, Any]]) -> None:
        self.runtime, self.batch = runtime, batch
        self.provider, self.settings = provider
        self.captured: dict[str, Any] = {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.get_inputs, self.get_outputs = self.session.get_inputs, self.session.get_outputs
        self.io_binding = self.session.io_binding

    def get_providers(self) -> list[str]:
        return [self.provider]

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.runtime.ran.append(self.batch)
        if self.batch > self.runtime.room:
            raise RuntimeException(WORDS)
        self.session.run_with_iobinding(self._replayed(binding, options))

    def _replayed(self, binding: Any, options: Any) -> Any:
        """Return the binding whose addresses are in the graph that runs."""
        if self.provider == TENSORRT:
            return (
                self.captured.setdefault("all", binding) if self.settings["trt_cuda_graph_enable"] == "1" else binding
            )
        return self.captured.setdefault(options.get_run_config_entry("gpu_graph_id"), binding)
