"""The exported step against eager PyTorch, for every network, and the rules that its file keeps."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.bundles.graphs import OPSET
from unsee.export.bundles.onnx_tensors import tensors
from unsee.export.graph.onnx_writer import TENSORRT_OPERATORS, check, write_graph
from unsee.export.graph.step import PixelClassifier, build_step
from unsee.export.graph.tracing import (
    INPUTS,
    OUTPUTS,
    TRACED_BATCH,
    check_live,
    example_inputs,
    export_step,
    trace,
    trace_step,
)
from unsee.export.parity.levels import relative_error
from unsee.tests.digests import check_digest
from unsee.tests.export_models import classifier

RAW = DescentConfig(gradient="raw", gradient_floor=float("-inf"), step=1.0)
NETWORKS = {"squeezenet1_1": 67, "tiny_darknet": 64, "unsee_small": 64, "resnet18": 67}
COSTS = {
    "clamp": DescentConfig(),
    "log-prob": DescentConfig(cost="log-prob", gradient="raw", step=100.0),
    "masked": DescentConfig(cost="masked", clip=True),
    "signed": RAW,
}


def pixel_classifier(name: str, size: int) -> PixelClassifier:
    made = classifier(name, size=size)
    return PixelClassifier(made.module, made.metadata.input).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def squeezenet_step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("step") / "step.onnx"
    write_graph(
        export_step(pixel_classifier("squeezenet1_1", 67), RAW, 67, 10), path, INPUTS, OUTPUTS, {"model": "squeezenet"}
    )
    return path


def states(batch: int, size: int, seed: int, iteration: int) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(seed)
    image = torch.rand(batch, 3, size, size) * 255
    target = torch.randint(-1, 10, (batch,))
    return image, torch.randn(batch, 10), target, torch.tensor(iteration), torch.tensor(3.0)


def assert_same_step(path: Path, step: torch.nn.Module, size: int) -> None:
    """Two inputs, three batch sizes, at the first iteration and later."""
    session = onnxruntime.InferenceSession(path)
    for batch, seed, iteration in [(1, 1, 0), (2, 2, 5), (7, 3, 1)]:
        state = states(batch, size, seed, iteration)
        expected = [tensor.numpy() for tensor in step(*state)]
        actual = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, state, strict=True)})
        moved, expected_move = (state[0].numpy() - outputs[0] for outputs in (actual, expected))
        assert (np.abs(expected_move).max((1, 2, 3)) > 0).all()
        assert np.median(relative_error(moved, expected_move)) < 1e-4
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(actual[2], expected[2])
        np.testing.assert_allclose(actual[3], expected[3], rtol=1e-4, atol=1e-4)


QUICK = ("unsee_small",)
"""Those of every test run; `make slow` takes the others, too."""


@pytest.mark.parametrize(
    ("name", "size"),
    [pytest.param(*one, marks=() if one[0] in QUICK else pytest.mark.proof) for one in NETWORKS.items()],
)
def test_exported_network_equals_eager(name: str, size: int, tmp_path: Path) -> None:
    made = classifier(name, size=size)
    eager = build_step(PixelClassifier(made.module, made.metadata.input), RAW)
    write_graph(export_step(pixel_classifier(name, size), RAW, size, 10), tmp_path / "step.onnx", INPUTS, OUTPUTS, {})
    assert_same_step(tmp_path / "step.onnx", eager, size)
    check_digest(name, tmp_path / "step.onnx")


@pytest.mark.parametrize("cost", COSTS)
def test_traced_costs_equal_eager(cost: str) -> None:
    network = pixel_classifier("unsee_small", 32)
    traced, eager = trace_step(network, COSTS[cost], 32, 10), build_step(network, COSTS[cost])
    for batch, seed, iteration in [(1, 1, 0), (3, 2, 4)]:
        state = states(batch, 32, seed, iteration)
        for actual, expected in zip(traced(*state), eager(*state), strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)


def test_file_keeps_the_rules(squeezenet_step: Path) -> None:
    check(squeezenet_step)
    model = onnx.load(squeezenet_step)
    assert [opset.version for opset in model.opset_import] == [OPSET]
    assert {node.op_type for node in model.graph.node} <= TENSORRT_OPERATORS
    assert not {"ScatterND", "ScatterElements", "MaxUnpool", "GatherND"} & {node.op_type for node in model.graph.node}
    assert {item.key: item.value for item in model.metadata_props} == {"model": "squeezenet"}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_names_and_shapes_are_those_of_the_contract(squeezenet_step: Path) -> None:
    described = tensors(squeezenet_step)
    assert [item["name"] for item in described["inputs"]] == list(INPUTS)
    assert [item["name"] for item in described["outputs"]] == list(OUTPUTS)
    assert [item["shape"] for item in described["inputs"]] == [["batch", 3, 67, 67], ["batch", 10], ["batch"], [], []]
    assert [item["type"] for item in described["inputs"]] == ["float32", "float32", "int64", "int64", "float32"]


def test_kernels_are_constants_and_stored_once(squeezenet_step: Path) -> None:
    graph = onnx.load(squeezenet_step).graph
    constants = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert len(convolutions) > 50
    assert all(node.input[1] in constants for node in convolutions)
    contents = Counter((tuple(item.dims), onnx.numpy_helper.to_array(item).tobytes()) for item in graph.initializer)
    assert max(contents.values()) == 1


def test_linear_weights_and_their_transposes_are_stored_once(tmp_path: Path) -> None:
    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(192, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.layers(image)

    network = Linear().eval().requires_grad_(False)
    write_graph(export_step(network, RAW, 8, 10), tmp_path / "step.onnx", INPUTS, OUTPUTS, {})
    assert (tmp_path / "step.onnx").stat().st_size < 1.3 * 4 * (192 * 64 + 64 * 10)
    assert_same_step(tmp_path / "step.onnx", build_step(network, RAW), 8)


def test_foreign_operators_are_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("ScatterND", ["data", "indices", "updates"], ["out"])
    values = {"data": (1, [4]), "indices": (7, [2, 1]), "updates": (1, [2])}
    inputs = [onnx.helper.make_tensor_value_info(name, *kind) for name, kind in values.items()]
    graph = onnx.helper.make_graph([node], "g", inputs, [onnx.helper.make_tensor_value_info("out", 1, [4])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    onnx.save(model, tmp_path / "scatter.onnx")
    with pytest.raises(UnseeError, match="ScatterND"):
        check(tmp_path / "scatter.onnx")


def test_a_result_of_the_traced_batch_is_refused_as_a_constant() -> None:
    gradient = torch.rand(TRACED_BATCH, 3, 8, 8)
    inputs = example_inputs(8, 10)
    with pytest.raises(UnseeError, match="fixes the size of the batch"):
        trace(lambda image, *rest: (image - gradient, *rest[:2], image.sum((2, 3))), inputs)


def test_an_output_that_does_not_see_the_image_is_refused() -> None:
    graph = trace(lambda image, *rest: (image * 2, *rest[:2], rest[0] * 2), example_inputs(8, 10))
    with pytest.raises(UnseeError, match="next_reference does not depend on the image"):
        check_live(graph, OUTPUTS)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "size"), [("vgg16", 64), ("vgg_s", 224)])
def test_large_networks_equal_eager(name: str, size: int, tmp_path: Path) -> None:
    network = pixel_classifier(name, size)
    write_graph(export_step(network, RAW, size, 10), tmp_path / "step.onnx", INPUTS, OUTPUTS, {})
    parameters = sum(tensor.numel() for tensor in network.parameters())
    kernels = sum(tensor.numel() for tensor in network.parameters() if tensor.ndim == 4)
    assert (tmp_path / "step.onnx").stat().st_size < 4.1 * (parameters + kernels)  # only kernels are stored turned, too
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx")
    state = states(8, size, 1, 0)
    expected = build_step(network, RAW)(*state)[0].numpy()
    actual = session.run(["next_image"], {key: value.numpy() for key, value in zip(INPUTS, state, strict=True)})[0]
    image = state[0].numpy()
    assert np.abs(image - expected).max() > 0
    errors = relative_error(image - actual, image - expected)
    assert np.quantile(errors, 0.25) < 1e-3  # a ReLU at zero, or a tie of a pool, sets an image apart
    assert errors.max() < 0.05
    check_digest(name, tmp_path / "step.onnx")
