"""A graph whose weights lie in the checkpoint's own file, and the bundle that is shipped."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.methods.models import open_descender
from unsee.engine.networks.model_exports import check_model
from unsee.export.bundles.bundle import read_bundle
from unsee.export.bundles.descent_contents import DescentContents, has_constants
from unsee.export.library.shared_weights import share_weights
from unsee.export.runtime.descender import Descender
from unsee.tests.export_models import images
from unsee.train.networks.model_names import DEFAULT_NAME, pretrained_directory

RNG = np.random.default_rng(1)


def graph(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A model that hands its initializers out."""
    nodes = [helper.make_node("Identity", [name], [f"out_{name}"]) for name in weights]
    outputs = [
        helper.make_tensor_value_info(f"out_{name}", TensorProto.FLOAT, one.shape) for name, one in weights.items()
    ]
    stored = [numpy_helper.from_array(one, name) for name, one in weights.items()]
    made = helper.make_graph(nodes, "weights", [], outputs, stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_weights_transposed_and_flipped_come_out_as_they_went_in(dtype, tmp_path):
    kernel = RNG.normal(size=(24, 20, 3, 3)).astype(dtype)
    matrix = RNG.normal(size=(70, 80)).astype(dtype)
    save_file({"kernel": kernel, "matrix": matrix}, tmp_path / "weights.safetensors")
    read = {
        "same": kernel,
        "turned": kernel.transpose(1, 0, 2, 3),
        "adjoint": kernel.transpose(1, 0, 2, 3)[..., ::-1, ::-1],
        "matrix_t": matrix.T,
        "own": RNG.normal(size=(70, 80)),
        "small": kernel[:1, :1],
    }
    weights = {name: np.ascontiguousarray(one, np.float32) for name, one in read.items()}
    model = graph(weights)
    share_weights(model, tmp_path / "weights.safetensors")
    onnx.save(model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 30_000
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for (name, expected), found in zip(weights.items(), session.run(None, {}), strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_the_shipped_bundle_is_whole_small_and_has_the_constants_of_the_default():
    directory = pretrained_directory(DEFAULT_NAME)
    assert directory is not None
    bundle = read_bundle(directory, DescentContents)
    assert has_constants(bundle.contents, PRESETS["best"].descent)
    assert has_constants(bundle.contents, PRESETS["a-reference"].descent)
    assert not bundle.contents.names_classes
    assert sum(path.stat().st_size for path in directory.iterdir()) < 5e6
    assert check_model(directory).holds


def test_the_shipped_bundle_computes_what_the_checkpoint_does():
    directory = pretrained_directory(DEFAULT_NAME)
    assert directory is not None
    config, pixels = PRESETS["best"].descent, images(2, 160)
    expected = open_descender(DEFAULT_NAME, config, "cpu", "torch").descend(pixels)
    with_weights = Descender.of_bundle(read_bundle(directory, DescentContents), config, "cpu")
    found = with_weights.descend(pixels)
    np.testing.assert_array_equal(found.targets, expected.targets)
    assert np.linalg.norm(found.delta - expected.delta) < 1e-3 * np.linalg.norm(expected.delta)
