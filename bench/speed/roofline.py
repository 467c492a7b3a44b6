"""The physical ceilings of a descent, measured: plain matrix products and copies; and where a step stands under them."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ...terminal import stderr
from .graph_costs import Ceilings, Cost, by_operator, step_costs, total
from .machine import machine
from .rivals import exported, load_contestant

SIDE = 2048
COPIED = 2**26
"""Elements of a copied tensor of float32: 256 MB, more than caches hold."""
SHOWN_OPERATORS = 7


class MatrixProducts:
    """Square matrix products of float32, timed in every library that a runner computes with.

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
            name: 2e-9 * SIDE**3 / min(seconds_of(product, self.device) for _ in range(repeats))
            for name, product in self.products.items()
        }


class Copies:
    """Copies of a tensor too large for caches, timed in PyTorch on all of its threads."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.source = torch.zeros(COPIED, device=device)
        self.target = torch.ones_like(self.source)

    def rate(self, repeats: int = 2) -> float:
        """Return the best rate in GB/s, bytes read and bytes written."""
        spent = min(seconds_of(lambda: self.target.copy_(self.source), self.device) for _ in range(repeats))
        return 2e-9 * self.source.nbytes / spent


class Roofs:
    """Both ceilings of a machine."""

    def __init__(self, device: str, threads: int) -> None:
        self.products, self.copies = MatrixProducts(device, threads), Copies(device)
        self.measure()  # warm up

    def measure(self) -> Ceilings:
        """Measure the ceilings: the fastest library's products, and copies."""
        return Ceilings(1e9 * max(self.products.rates().values()), 1e9 * self.copies.rate())


def roofline(costs: list[Cost], ceilings: Ceilings) -> dict[str, Any]:
    """Return where a step stands: its totals, what bounds it, and its operators by the least time that they take.

    Operators beyond the first are summed as `others`. Times are in milliseconds, as if no two operators were fused.
    """
    floors: dict[str, float] = {}
    for cost in costs:
        floors[cost.operator] = floors.get(cost.operator, 0.0) + ceilings.seconds(cost)
    summed = {cost.operator: cost for cost in by_operator(costs)}
    names = sorted(floors, key=lambda name: -floors[name])
    rows = [_row(summed[name], floors[name], ceilings) for name in names[:SHOWN_OPERATORS]]
    if rest := names[SHOWN_OPERATORS:]:
        others = total(summed[name] for name in rest)
        rows.append({**_row(others, sum(floors[name] for name in rest), ceilings), "operator": "others"})
    everything = _row(total(costs), ceilings.floor(costs), ceilings)
    return {
        **everything,
        "ceiling_gflops": ceilings.operations / 1e9,
        "ceiling_gigabytes_per_second": ceilings.bytes / 1e9,
        "ridge_flop_per_byte": ceilings.operations / ceilings.bytes,
        "operators": rows,
    }


def _row(cost: Cost, floor: float, ceilings: Ceilings) -> dict[str, Any]:
    return {
        "operator": cost.operator,
        "count": cost.count,
        "gflop": cost.operations / 1e9,
        "megabytes": cost.bytes / 1e6,
        "flop_per_byte": cost.intensity,
        "bound": ceilings.bound(cost),
        "floor_milliseconds": 1e3 * floor,
    }


def roofline_table(found: dict[str, Any]) -> Table:
    """Return the operators of a roofline as a table."""
    table = Table("operator", "count", "GFLOP", "MB", "FLOP/byte", "bound by", "least ms", box=None)
    for row in [*found["operators"], found]:
        figures = f"{row['gflop']:.3f}", f"{row['megabytes']:.1f}", f"{row['flop_per_byte']:.1f}", row["bound"]
        table.add_row(row["operator"], str(row["count"]), *figures, f"{row['floor_milliseconds']:.2f}")
    return table


def bench_roofline(
    model: str, batch_size: int, threads: int, device: str, console: Console | None = None
) -> dict[str, Any]:
    """Measure the ceilings, count a step of a model (see `load_contestant`), print both and one JSON line."""
    console = console or stderr()
    with tempfile.TemporaryDirectory() as folder:
        costs = step_costs(exported(load_contestant(model), Path(folder)).graph_path, batch_size)
    found = roofline(costs, Roofs(device, threads).measure())
    show_roofline(console, found)
    about = {"benchmark": "roofline", "model": model, "batch_size": batch_size, "threads": threads, "device": device}
    result = {**about, **found, "machine": machine()}
    print(json.dumps(result))
    return result


def show_roofline(console: Console, found: dict[str, Any]) -> None:
    """Print ceilings and operators."""
    console.print(
        f"ceilings: {found['ceiling_gflops']:.0f} GFLOP/s in matrix products of float32, "
        f"{found['ceiling_gigabytes_per_second']:.1f} GB/s in copies; they meet at "
        f"{found['ridge_flop_per_byte']:.1f} operations a byte"
    )
    console.print(roofline_table(found), soft_wrap=False)


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


def seconds_of(action: Callable[[], object], device: str) -> float:
    """Return the seconds that an action takes on a device."""
    synchronize(device)
    started = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - started


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
