"""The physical ceiling of a descent: the rate of plain matrix products, and the operations that one iteration needs."""

import time
from collections.abc import Callable

import onnx
import onnxruntime
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIDE = 2048


class MatrixProducts:
    """Square matrix products of float32, timed in every library that a session computes with.

    Libraries differ by a factor of two on some processors: the ceiling is the rate of the fastest.
    """

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        left, right = (torch.rand(SIDE, SIDE, device=device) for _ in range(2))
        product = torch.empty_like(left)
        self.products: dict[str, Callable[[], object]] = {"torch": lambda: torch.mm(left, right, out=product)}
        if device == "cpu":
            session = _product_session(threads)
            inputs = {"left": left.numpy(), "right": right.numpy()}
            self.products["onnxruntime"] = lambda: session.run(None, inputs)

    def rates(self, repeats: int = 2) -> dict[str, float]:
        """Return the best rate of each library in GFLOP/s."""
        return {
            name: 2e-9 * SIDE**3 / min(self._seconds(product) for _ in range(repeats))
            for name, product in self.products.items()
        }

    def _seconds(self, product: Callable[[], object]) -> float:
        synchronize(self.device)
        started = time.perf_counter()
        product()
        synchronize(self.device)
        return time.perf_counter() - started


def _product_session(threads: int) -> onnxruntime.InferenceSession:
    shape = [SIDE, SIDE]
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("left", "right", "product")
    ]
    node = onnx.helper.make_node("MatMul", ["left", "right"], ["product"])
    graph = onnx.helper.make_graph([node], "product", described[:2], described[2:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def synchronize(device: str) -> None:
    """Wait until a CUDA device has done what was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def iteration_flops(network: nn.Module, size: int) -> int:
    """Return the floating-point operations of one iteration on one image: the forward pass, and as much backward.

    Convolutions and matrix products are counted, two operations a multiply-add. The gradient by the image costs a
    layer what its forward pass costs; parameters are frozen and need none.
    """
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        image = torch.empty(1, 3, size, size)
        network.to("meta")(image)
    return 2 * counter.get_total_flops()
