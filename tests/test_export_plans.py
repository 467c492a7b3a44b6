"""What of the GPU sessions can be tested without a GPU: keys of plans, names of devices, refusals."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from unsee.errors import MissingExtraError, UnseeError
from unsee.export.bundles.bundle import Bundle
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.bundles.descent_contents import DescentContents
from unsee.export.runtime.backends import RuntimeDevice
from unsee.export.runtime.driver import cuda_devices
from unsee.export.runtime.onnxruntime_lanes import cuda_options, tensorrt_options
from unsee.export.runtime.tensorrt.tensorrt_engine import prepare_plan
from unsee.export.runtime.tensorrt.tensorrt_plans import plan_key, read_plan, write_plan
from unsee.export.runtime.tensorrt.tensorrt_runner import TensorRtRunner
from unsee.train.networks.metadata import InputSpec, numbered_labels


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "step.onnx").write_bytes(b"\x08\x08")  # an empty ONNX file
    contents = DescentContents(network="net", input=InputSpec(), labels=numbered_labels(3), descent=DescentConfig())
    return Bundle(directory=tmp_path, model_id="net-0", contents=contents)


def test_plan_is_found_again_by_its_key_only(bundle: Bundle) -> None:
    key = plan_key(bundle, "NVIDIA H100 80GB HBM3", "10.9.0", "tf32", 8)
    assert read_plan(bundle.directory, key) is None
    path = write_plan(bundle.directory, key, b"machine code")
    assert path.name == "step.nvidia-h100-80gb-hbm3-tf32-batch8.plan"
    assert read_plan(bundle.directory, key) == b"machine code"
    assert read_plan(bundle.directory, replace(key, tensorrt="10.10.0")) is None
    assert read_plan(bundle.directory, replace(key, batch_size=4)) is None
    (bundle.directory / "step.onnx").write_bytes(b"another step")
    changed = plan_key(bundle, "NVIDIA H100 80GB HBM3", "10.9.0", "tf32", 8)
    assert read_plan(bundle.directory, changed) is None


def test_damaged_plan_is_not_run(bundle: Bundle) -> None:
    key = plan_key(bundle, "GPU", "10.9.0", "fp32", 1)
    write_plan(bundle.directory, key, b"machine code").write_bytes(b"machine c0de")
    with pytest.raises(UnseeError, match="damaged or changed"):
        read_plan(bundle.directory, key)


def test_precision_of_a_plan_fits_its_bundle(bundle: Bundle) -> None:
    with pytest.raises(UnseeError, match="exported with --precision fp16"):
        plan_key(bundle, "GPU", "10.9.0", "fp16", 1)
    half = replace(bundle, precision="fp16")
    assert plan_key(half, "GPU", "10.9.0", "fp16", 1).precision == "fp16"
    with pytest.raises(UnseeError, match="cannot be tf32"):
        plan_key(half, "GPU", "10.9.0", "tf32", 1)


@pytest.mark.parametrize(("name", "expected"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3")])
def test_names_of_devices(name: str, expected: str) -> None:
    assert str(RuntimeDevice.parse(name, has_cuda=False)) == expected


def test_auto_is_cuda_only_with_runtime_and_gpu() -> None:
    assert str(RuntimeDevice.parse("auto", has_cuda=False)) == "cpu"
    assert RuntimeDevice.parse("auto", has_cuda=True).is_cuda == bool(cuda_devices())


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", ""])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UnseeError, match="unknown device"):
        RuntimeDevice.parse(name, has_cuda=True)


def test_tensorrt_that_is_not_installed_names_its_extra(bundle: Bundle) -> None:
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("tensorrt is installed")
    with pytest.raises(MissingExtraError, match=r"unsee\[tensorrt\]"):
        TensorRtRunner(bundle, "cuda")


def test_engines_of_two_batch_sizes_do_not_share_a_cache_entry(tmp_path: Path) -> None:
    prefixes = {
        tensorrt_options(0, tmp_path / "step.onnx", batch, True, "fp32")["trt_engine_cache_prefix"] for batch in (1, 8)
    }
    assert len(prefixes) == 2


def test_convolution_algorithms_are_chosen_explicitly_and_fp32_is_not_rounded() -> None:
    assert cuda_options(1, "fp32")["cudnn_conv_algo_search"] == "HEURISTIC"
    assert [cuda_options(1, precision)["use_tf32"] for precision in ("fp32", "tf32", "fp16")] == ["0", "1", "0"]


def test_the_provider_of_tensorrt_captures_no_turns_that_swap_their_buffers(tmp_path: Path) -> None:
    graphs = [tensorrt_options(0, tmp_path / "step.onnx", 4, state, "fp16") for state in (True, False)]
    assert [options["trt_cuda_graph_enable"] for options in graphs] == ["0", "1"]


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["onnxruntime", "ort-tensorrt", "tensorrt"])
def test_gpu_sessions_equal_the_cpu(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    if not cuda_devices():
        pytest.skip("no GPU on this machine")
    if backend == "tensorrt":
        pytest.importorskip("tensorrt")
    from unsee.engine.methods.models import open_descender
    from unsee.export.parity.levels import relative_error
    from unsee.tests.export_models import checkpoint, export_classifier, images

    config = DescentConfig(iterations=3)
    model = checkpoint(tmp_path / "model", "unsee_small", size=64)
    export_classifier(str(model), tmp_path / "bundle", config)
    expected = open_descender(str(tmp_path / "bundle"), config, "cpu")
    session = open_descender(str(tmp_path / "bundle"), config, "cuda", backend)
    for batch in (4, 3, 4):  # the second is padded, the third replays the captured graph
        pixels = images(batch, 64, seed=batch)
        actual = session.descend(pixels, 1).delta
        assert relative_error(actual, expected.descend(pixels, 1).delta).max() < 5e-3


def test_a_plan_cannot_be_built_without_tensorrt(bundle: Bundle) -> None:
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("tensorrt is installed")
    with pytest.raises(MissingExtraError, match="backend tensorrt needs tensorrt"):
        prepare_plan(bundle, 4)
