"""Stand-ins for TensorRT 10 and the CUDA runtime on the CPU: plans name a graph, which ONNX Runtime runs at addresses.

Device memory is host memory, so that copies, addresses, padding and captured graphs of the sessions can be tested.
"""

import ctypes
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

GPU = "Fake GPU 3000"


class Runtime:
    """The state of the fake device: its memory, what is being captured, and how often plans were built.

    room: bytes that can be taken, without end where None.
    """

    def __init__(self) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.capture: list[Any] | None = None
        self.built: list[str] = []
        self.room: int | None = None

    def install(self, monkeypatch: Any) -> None:
        """Take the place of both packages and of the driver."""
        import sys

        monkeypatch.setitem(sys.modules, "tensorrt", self.tensorrt())
        for name in ("cuda", "cuda.bindings"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", self.cuda())
        monkeypatch.setattr("unsee.export.runtime.tensorrt.tensorrt_engine.cuda_devices", lambda: (GPU,))

    def launch(self, work: Any) -> None:
        """Run work now, or keep it for the graph that is being captured."""
        if self.capture is None:
            work()
        else:
            self.capture.append(work)

    def cuda(self) -> ModuleType:
        """Return the CUDA runtime's bindings, as far as `CudaStream` uses them."""
        module = ModuleType("cuda.bindings.runtime")

        def malloc(size: int) -> tuple[int, int]:
            held = sum(len(block) for block in self.memory.values()) + size
            if self.room is not None and held > self.room:
                return 2, 0
            block = np.full(max(size, 1), 0xAB, np.uint8)  # memory holds anything at first
            self.memory[block.ctypes.data] = block
            return 0, block.ctypes.data

        def free(address: int) -> tuple[int]:
            del self.memory[address]
            return (0,)

        def copy(target: int, source: int, size: int, kind: str, stream: int) -> tuple[int]:
            assert self.capture is None and kind in ("up", "down") and stream == 7
            on_device = target if kind == "up" else source
            assert on_device in self.memory and size <= len(self.memory[on_device])
            ctypes.memmove(target, source, size)
            return (0,)

        def end(stream: int) -> tuple[int, list[Any]]:
            captured, self.capture = self.capture, None
            return 0, captured or []

        def replay(graph: list[Any], stream: int) -> tuple[int]:
            for work in graph:
                work()
            return (0,)

        def begin_capture(stream: int, mode: str) -> tuple[int]:
            assert self.capture is None, "the stream is capturing already"
            self.capture = []
            return (0,)

        functions = {
            "cudaSetDevice": lambda device: (0,),
            "cudaStreamCreateWithFlags": lambda flags: (0, 7),
            "cudaStreamNonBlocking": 1,
            "cudaStreamDestroy": lambda stream: (0,),
            "cudaGraphDestroy": lambda graph: (0,),
            "cudaGraphExecDestroy": lambda graph: (0,),
            "cudaGetDeviceProperties": lambda device: (0, SimpleNamespace(name=GPU.encode())),
            "cudaMalloc": malloc,
            "cudaFree": free,
            "cudaMemcpyAsync": copy,
            "cudaStreamSynchronize": lambda stream: (0,),
            "cudaStreamBeginCapture": begin_capture,
            "cudaStreamEndCapture": end,
            "cudaGraphInstantiate": lambda graph, flags: (0, graph),
            "cudaGraphLaunch": replay,
            "cudaGetErrorString": lambda code: (0, b"out of memory" if code == 2 else b"an error"),
            "cudaMemcpyKind": SimpleNamespace(cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down"),
            "cudaStreamCaptureMode": SimpleNamespace(cudaStreamCaptureModeThreadLocal="local"),
        }
        for name, function in functions.items():
            setattr(module, name, function)
        return module

    def tensorrt(self) -> ModuleType:
        """Return TensorRT, as far as `TensorRtEngine` uses it."""
        module = ModuleType("tensorrt")
        state = self
        module.__version__ = "10.0"
        module.Logger = type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None})
        module.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        module.BuilderFlag = SimpleNamespace(TF32="tf32")
        module.Builder = lambda logger: _Builder(state)
        module.OnnxParser = _Parser
        module.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: _Engine(plan, state))
        return module


class _Parser:
    num_errors = 0

    def __init__(self, network: "_Network", logger: Any) -> None:
        self.network = network

    def parse_from_file(self, path: str) -> bool:
        self.network.path = path
        self.network.inputs = [
            SimpleNamespace(name=value.name, shape=[side.dim_value or -1 for side in value.type.tensor_type.shape.dim])
            for value in onnx.load(path).graph.input
        ]
        return True


class _Network:
    path = ""
    inputs: tuple[Any, ...] | list[Any] = ()

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, index: int) -> Any:
        return self.inputs[index]


class _Builder:
    def __init__(self, state: Runtime) -> None:
        self.state = state

    def create_network(self, flags: int) -> _Network:
        assert flags == 2
        return _Network()

    def create_builder_config(self) -> Any:
        cache = SimpleNamespace(serialize=lambda: b"timing")
        names = ("set_flag", "clear_flag")
        plain = {name: lambda value: None for name in names}
        return SimpleNamespace(
            **plain,
            create_timing_cache=lambda data: cache,
            set_timing_cache=lambda cache, ignore_mismatch: None,
            get_timing_cache=lambda: cache,
        )

    def build_serialized_network(self, network: _Network, config: Any) -> bytes:
        self.state.built.append(network.path)
        shapes = {tensor.name: list(tensor.shape) for tensor in network.inputs}
        assert all(side > 0 for shape in shapes.values() for side in shape), "a free shape needs a profile"
        return json.dumps({"path": network.path, "shapes": shapes}).encode()


class _Engine:
    def __init__(self, plan: bytes, state: Runtime) -> None:
        self.state = state
        described = json.loads(plan)
        self.session = onnxruntime.InferenceSession(described["path"], providers=["CPUExecutionProvider"])
        self.shapes = described["shapes"]

    def create_execution_context(self) -> "_Context":
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        known = [*self.engine.session.get_inputs(), *self.engine.session.get_outputs()]
        self.addresses[name] = address
        return any(item.name == name for item in known)

    def execute_async_v3(self, stream: int) -> bool:
        addresses = dict(self.addresses)
        self.engine.state.launch(lambda: self._run(addresses))
        return stream == 7

    def _run(self, addresses: dict[str, int]) -> None:
        session, shapes = self.engine.session, self.engine.shapes
        types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        feed = {
            item.name: _at(addresses[item.name], shapes[item.name], types[item.type]) for item in session.get_inputs()
        }
        for item, value in zip(session.get_outputs(), session.run(None, feed), strict=True):
            _at(addresses[item.name], value.shape, value.dtype)[...] = value


def _at(address: int, shape: Any, dtype: Any) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_ubyte * size).from_address(address), dtype).reshape(shape)
