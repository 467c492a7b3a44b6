"""The descent's benchmark: fair sides, counted costs under measured ceilings, one JSON line last."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from rich.console import Console
from torch import nn

from unsee.bench.speed.descent_speed import DescentBench, bench_descent
from unsee.bench.speed.graph_costs import Ceilings, Cost, step_costs
from unsee.bench.speed.rivals import PLAIN
from unsee.bench.speed.roofline import iteration_flops, roofline
from unsee.tests.export_models import checkpoint


def test_operations_of_known_layers() -> None:
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    assert iteration_flops(convolution, 10) == 2 * 2 * 3 * 9 * 8 * 100
    assert iteration_flops(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5)), 4) == 2 * 2 * 48 * 5


def onnx_step(path: Path) -> Path:
    """Write a graph with one operator of each kind that is counted in its own way; returns its path."""
    node, tensor = onnx.helper.make_node, onnx.TensorProto
    nodes = [
        node("Conv", ["image", "kernels"], ["convolved"], strides=[2, 2]),
        node("Relu", ["convolved"], ["positive"]),
        node("MaxPool", ["positive"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["pooled", "spread"], ["spreaded"]),
        node("Slice", ["spreaded", "starts", "ends", "axes"], ["cut"]),
        node("Flatten", ["cut"], ["flat"]),
        node("Gemm", ["flat", "matrix", "bias"], ["logits"]),
        node("Cast", ["logits"], ["halves"], to=tensor.FLOAT16),
    ]
    constants = {
        "kernels": np.zeros((8, 3, 3, 3), np.float32),
        "spread": np.zeros((8, 4, 2, 2), np.float32),
        "starts": np.array([1]),
        "ends": np.array([3]),
        "axes": np.array([2]),
        "matrix": np.zeros((4 * 2 * 4, 500), np.float32),
        "bias": np.zeros(500, np.float32),
    }
    inputs = [onnx.helper.make_tensor_value_info("image", tensor.FLOAT, ["batch", 3, 11, 13])]
    outputs = [onnx.helper.make_tensor_value_info("halves", tensor.FLOAT16, ["batch", 500])]
    graph = onnx.helper.make_graph(
        nodes, "step", inputs, outputs, [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_costs_of_known_operators(tmp_path) -> None:
    """Shapes of a batch of 7: image 3x11x13, convolved 8x5x6, pooled 8x2x3, spread 4x3x4, cut 4x2x4, logits 500."""
    costs = {cost.operator: cost for cost in step_costs(onnx_step(tmp_path / "step.onnx"), 7)}
    convolved, pooled, spreaded, cut = 7 * 8 * 5 * 6, 7 * 8 * 2 * 3, 7 * 4 * 3 * 4, 7 * 4 * 2 * 4
    assert costs["Conv"] == Cost("Conv", 1, 2 * convolved * 27, 4 * (7 * 3 * 11 * 13 + 8 * 27 + convolved))
    assert costs["Relu"] == Cost("Relu", 1, convolved, 8 * convolved)
    assert costs["MaxPool"] == Cost("MaxPool", 1, 4 * pooled, 4 * (convolved + pooled))
    assert costs["ConvTranspose"] == Cost("ConvTranspose", 1, 2 * pooled * 16, 4 * (pooled + 8 * 16 + spreaded))
    assert costs["Slice"] == Cost("Slice", 1, 0, 8 * cut)
    assert costs["Flatten"] == Cost("Flatten", 1, 0, 0)
    assert costs["Gemm"] == Cost("Gemm", 1, 2 * 7 * 500 * 32, 4 * (cut + 32 * 500 + 500 + 7 * 500))
    assert costs["Cast"] == Cost("Cast", 1, 0, (4 + 2) * 7 * 500)


def test_an_operator_takes_as_long_as_the_ceiling_that_it_meets_first() -> None:
    ceilings = Ceilings(operations=100, bytes=10)
    busy, bulky = Cost("Conv", 1, 1000, 20), Cost("Mul", 2, 10, 50)
    assert (ceilings.seconds(busy), ceilings.seconds(bulky)) == (10, 5)
    assert (ceilings.bound(busy), ceilings.bound(bulky)) == ("computing", "memory")
    assert ceilings.floor([busy, bulky]) == 15
    found = roofline([busy, bulky, busy], ceilings)
    assert [row["operator"] for row in found["operators"]] == ["Conv", "Mul"]
    assert [row["floor_milliseconds"] for row in found["operators"]] == [20_000, 5_000]
    assert (found["floor_milliseconds"], found["count"], found["ridge_flop_per_byte"]) == (25_000, 4, 10)
    assert found["flop_per_byte"] == 2010 / 90


def test_operators_beyond_the_first_are_summed() -> None:
    found = roofline([Cost(f"Op{number}", 1, 0, 10 * number) for number in range(1, 11)], Ceilings(1, 10))
    assert [row["operator"] for row in found["operators"]] == [
        *(f"Op{number}" for number in range(10, 3, -1)),
        "others",
    ]
    assert (found["operators"][-1]["count"], found["operators"][-1]["floor_milliseconds"]) == (3, 6_000)
    assert found["floor_milliseconds"] == 55_000


@pytest.mark.proof
def test_all_sessions_agree_and_the_last_line_is_json(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    model = checkpoint(tmp_path / "model", "unsee_small", size=64)
    bench = DescentBench(str(model), 2, iterations=2, rounds=2, threads=1, compiled=False)
    result = bench_descent(bench, Console(quiet=True))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    speeds = {speed["name"]: speed for speed in result["sessions"]}
    assert list(speeds) == [PLAIN, "torch", "onnxruntime"]
    assert speeds[PLAIN]["ratio"] == 1
    assert all(speed["update_error"] < 1e-3 for speed in speeds.values())
    assert all(0 < speed["share"] < 2 and speed["images_per_second"] > 0 for speed in speeds.values())
    assert all(speed["roofline_share"] > speed["share"] for speed in speeds.values())
    assert result["ceiling_gflops"] > 1
    found = result["roofline"]
    assert found["ceiling_gigabytes_per_second"] > 0.1
    products = sum(row["gflop"] for row in found["operators"] if row["operator"] == "Conv")
    assert products == pytest.approx(2 * result["gflop_per_image_and_iteration"], rel=0.05)
    assert sum(row["count"] for row in found["operators"]) == found["count"]
    rounded = [round(sum(row[name] for row in found["operators"]), 6) for name in ("megabytes", "floor_milliseconds")]
    assert rounded == [round(found[name], 6) for name in ("megabytes", "floor_milliseconds")]
