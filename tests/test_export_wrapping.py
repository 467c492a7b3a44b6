"""What is known of people's networks, what is said of one, and how files are looked at."""

import numpy as np
import onnx
import onnxruntime
import pytest

from unsee.errors import UnseeError
from unsee.export.bundles.map_contents import MapContents
from unsee.export.runtime.mapper import Mapper
from unsee.export.wrapping.known_networks import KNOWN, known_by_graph, known_by_name
from unsee.export.wrapping.network_files import is_network_file, read_network
from unsee.export.wrapping.plain_networks import PlainNetwork
from unsee.export.wrapping.specifications import nothing_more, specification
from unsee.export.wrapping.wrapped_networks import cached_network, looked_at
from unsee.tests.network_files import Form, write_network
from unsee.tests.runners import FunctionRunner
from unsee.train.networks.input_choice import OWN_INPUT, InputChoice
from unsee.train.networks.maps.mapper_metadata import MapMetadata
from unsee.train.networks.maps.network_input import NO_CHOICE, NetworkChoice, NetworkInput, NetworkOptions

NAMES = {
    "u2net": "u2net",
    "u2net_human_seg": "u2net",
    "U-2-Net": "u2net",
    "U2NETP": "u2netp",
    "u2netp": "u2netp",
    "silueta": "silueta",
    "isnet-general-use": "isnet-general-use",
    "isnet-anime": "isnet-general-use",
    "isnet": "dis",
    "isnet_dis": "dis",
    "BiRefNet-general-epoch_244": "birefnet",
    "birefnet-portrait": "birefnet",
    "InSPyReNet_SwinB": "inspyrenet",
    "ckpt_base": "inspyrenet",
    "ckpt_fast": "inspyrenet-fast",
    "inspyrenet_fast_384": "inspyrenet-fast",
    "bria-rmbg-2.0": "rmbg",
    "RMBG-2.0": "rmbg",
    "RMBG-1.4": "rmbg-1.4",
    "bria_rmbg_v1.4": "rmbg-1.4",
    "rmbg14": "rmbg-1.4",
    "BEN2_Base": "ben2",
    "distilled": None,
    "model": None,
    "my-u2net": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_networks_are_known_by_the_names_of_their_files(name):
    assert known_by_name(name) == NAMES[name]


def test_networks_are_known_by_their_graphs():
    seven, twelve = [str(number) for number in range(7)], [str(number) for number in range(12)]
    assert known_by_graph(["x"], seven, 320) == known_by_graph(["x"], seven, None) == "u2net"
    assert known_by_graph(["x"], seven, 1024) is None
    assert known_by_graph(["x"], twelve, 1024) == "dis"
    assert known_by_graph(["input_image"], ["output_image"], 1024) == "birefnet"
    assert known_by_graph(["pixel_values"], ["alphas"], None) == "rmbg"
    assert known_by_graph(["pixel_values"], ["logits"], None) is None


@pytest.mark.parametrize("name", KNOWN)
def test_every_row_of_the_table_is_a_specification(name):
    values = {key: value for key, value in KNOWN[name].items() if key != "activation"}
    spec = NetworkInput(**values)
    NetworkOptions(KNOWN[name]["activation"])
    assert NetworkInput.from_json({**vars(spec), "mean": list(spec.mean), "std": list(spec.std)}) == spec


def test_options_go_before_the_sidecar_and_it_before_the_table(tmp_path):
    file = read_network(write_network(tmp_path / "u2net.onnx", Form(None)))
    assert specification(file, OWN_INPUT, NO_CHOICE).input.size == 320
    (tmp_path / "u2net.json").write_text('{"size": 96, "range": 255, "mean": [1, 2, 3], "activation": "none"}')
    said = specification(file, OWN_INPUT, NO_CHOICE)
    assert (said.input.size, said.input.range, said.input.mean, said.activation) == (96, 255, (1, 2, 3), "none")
    assert said.input.std == KNOWN["u2net"]["std"] and said.input.resample == "lanczos"
    said = specification(
        file, InputChoice(48, (0.1, 0.2, 0.4)), NetworkChoice(activation="sigmoid", resample="bicubic")
    )
    assert said.input.mean == pytest.approx((25.5, 51, 102))
    assert (said.input.size, said.activation, said.input.resample) == (48, "sigmoid", "bicubic")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "not what a network takes and gives, but a JSON list"),
        ('{"sise": 3}', "'sise' is none of what is said of a network"),
        ('{"size": 0}', "size must be at least 1"),
        ('{"size": "big"}', "size must be a whole number"),
        ('{"mean": 3}', "mean must be three numbers"),
        ('{"std": [1, 1, 0]}', "std and range must be above zero"),
        ('{"activation": "softmax"}', "activation must be one of none, sigmoid"),
        ('{"resize": "crop"}', "resize must be one of stretch, letterbox"),
        ('{"padding": 256}', "padding must be at most 255"),
        ('{"like": "u3net"}', "no network 'u3net' is known"),
        ('{"output_name": 7}', "output must be a text"),
        ('{"range": "abc"}', "range must be a number"),
        ('{"range": null}', "range must be a number"),
        ('{"like": ["u2net"]}', "like must be a text"),
        ("{", "not JSON"),
    ],
)
def test_a_malformed_sidecar_is_one_error(text, message, tmp_path):
    file = read_network(write_network(tmp_path / "u2net.onnx", Form(None)))
    (tmp_path / "u2net.json").write_text(text)
    with pytest.raises(UnseeError, match=message):
        specification(file, OWN_INPUT, NO_CHOICE)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form(64, type="float64"), "is float64 .*: one of float32, float16, uint8 is expected"),
        (Form(64, batch=4), "a batch of 4 is built in, one or a free one is expected"),
        (Form(None, opset=7), "of ONNX's operators in version 7, 8 or later is needed"),
    ],
)
def test_inputs_that_are_no_image_are_refused(form, message, tmp_path):
    with pytest.raises(UnseeError, match=message):
        read_network(write_network(tmp_path / "net.onnx", form))


def test_names_that_are_no_paths_are_no_files(tmp_path):
    assert not is_network_file("x" * 5000 + ".onnx") and not is_network_file("a\0.onnx")
    assert not is_network_file(tmp_path) and not is_network_file(tmp_path / "none.onnx")


def test_a_smaller_map_is_enlarged_as_pillow_enlarges(tmp_path):
    network = looked_at(
        write_network(tmp_path / "u2net.onnx", Form(64, shrink=4)), OWN_INPUT, NetworkChoice(activation="none")
    )()
    assert network.side == 16
    network.write(tmp_path)
    probe = network.probe(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    session = onnxruntime.InferenceSession(str(tmp_path / "map.onnx"))
    pixels = probe.images.transpose(0, 3, 1, 2).astype(np.float32)
    assert np.abs(np.asarray(session.run(None, {"image": pixels})[0])[:, 0] - probe.maps).max() < 1e-5


def test_constant_images_and_equal_values_give_no_nan(tmp_path):
    file = read_network(write_network(tmp_path / "u2net.onnx", Form(32)))
    said = specification(file, OWN_INPUT, NO_CHOICE)
    images = np.zeros((1, 32, 32, 3), np.uint8)
    network = looked_at(file.path)()
    network.write(tmp_path)
    plain = PlainNetwork(file, said.input, file.output(None)).maps(images, "minmax")
    made = onnxruntime.InferenceSession(str(tmp_path / "map.onnx")).run(
        None, {"image": images.transpose(0, 3, 1, 2).astype(np.float32)}
    )
    assert np.isfinite(plain).all() and np.abs(np.asarray(made[0])[:, 0] - plain).max() < 1e-5


def test_values_of_a_map_need_nothing_more():
    assert nothing_more("x", 0.0, 1.0) == nothing_more("x", -0.005, 1.005) == "none"
    with pytest.raises(UnseeError, match="x has values from -3 to 2"):
        nothing_more("x", -3.0, 2.0)
    with pytest.raises(UnseeError):
        nothing_more("x", float("nan"), 1.0)


def test_the_cache_tells_files_and_what_is_said_of_them_apart(tmp_path):
    write_network(tmp_path / "u2net.onnx", Form(32))
    one = cached_network(str(tmp_path / "u2net.onnx"))
    assert cached_network(str(tmp_path / "u2net.onnx")).directory == one.directory
    other = cached_network(str(tmp_path / "u2net.onnx"), network=NetworkChoice(channel_order="BGR"))
    (tmp_path / "u2net.json").write_text('{"padding": 3}')
    said = cached_network(str(tmp_path / "u2net.onnx"))
    write_network(tmp_path / "u2net.onnx", Form(32), seed=1)
    changed = cached_network(str(tmp_path / "u2net.onnx"))
    ids = {bundle.model_id for bundle in (one, other, said, changed)}
    assert len(ids) == len({bundle.directory for bundle in (one, other, said, changed)}) == 4


def test_a_network_is_no_checkpoint():
    with pytest.raises(UnseeError, match="network needs NetworkOptions"):
        MapMetadata("network", "default", "x", NetworkInput(), None)  # pyright: ignore[reportArgumentType]


def _with_input(path, value):
    """Write a network whose input is described otherwise."""
    model = onnx.load(write_network(path, Form(64)))
    model.graph.input[0].type.CopyFrom(value)
    onnx.save(model, path)
    return path


def test_inputs_and_outputs_that_are_no_tensors_are_one_error(tmp_path):
    tensor = onnx.helper.make_tensor_type_proto(1, [1, 3, 8, 8])
    for kind in (onnx.helper.make_sequence_type_proto(tensor), onnx.TypeProto()):
        with pytest.raises(UnseeError, match="is \\(.*\\) \\[\\]: one of float32"):
            read_network(_with_input(tmp_path / "net.onnx", kind))
    path = write_network(tmp_path / "two.onnx", Form(64, outputs=2))
    model = onnx.load(path)
    model.graph.output[1].type.CopyFrom(onnx.helper.make_sequence_type_proto(tensor))
    onnx.save(model, path)
    file = read_network(path)
    assert file.output(None).name == "d0"
    with pytest.raises(UnseeError, match="its output d1 .* is no map"):
        file.output("d1")


def test_sides_below_one_are_free(tmp_path):
    path = write_network(tmp_path / "u2net.onnx", Form(64))
    model = onnx.load(path)
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = -1
    onnx.save(model, path)
    assert read_network(path).image.size is None


def test_bytes_are_rounded_and_have_no_mean(tmp_path):
    file = read_network(write_network(tmp_path / "u2net.onnx", Form(64, type="uint8")))
    said = specification(file, OWN_INPUT, NO_CHOICE)
    assert (said.input.range, said.input.mean, said.input.scale) == (255, (0, 0, 0), "fixed")
    with pytest.raises(UnseeError, match="its input is bytes: leave --mean and --std out"):
        specification(file, InputChoice(mean=(0.5, 0.5, 0.5)), NO_CHOICE)
    choice = NetworkChoice(scale="largest")
    network = looked_at(file.path, OWN_INPUT, choice)()
    network.write(tmp_path)
    images = np.random.default_rng(0).integers(0, 99, (2, 64, 64, 3), np.uint8)
    made = onnxruntime.InferenceSession(str(tmp_path / "map.onnx")).run(
        None, {"image": images.transpose(0, 3, 1, 2).astype(np.float32)}
    )
    assert np.abs(np.asarray(made[0])[:, 0] - network.probe(images).maps).max() < 1e-5


def test_a_half_precision_network_of_little_contrast_is_taken(tmp_path):
    path = write_network(tmp_path / "u2net.onnx", Form(64, type="float16"))
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "second0":
            values = onnx.numpy_helper.to_array(tensor) * np.float16(0.02)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, "second0"))
    onnx.save(model, path)
    assert cached_network(str(path)).precision == "fp16"


def test_a_known_network_whose_row_changes_is_wrapped_anew(tmp_path, monkeypatch):
    path = str(write_network(tmp_path / "inspyrenet.onnx", Form(None, batch="b")))
    monkeypatch.setitem(KNOWN, "inspyrenet", {**KNOWN["inspyrenet"], "size": 64})
    one = cached_network(path)
    monkeypatch.setitem(KNOWN, "inspyrenet", {**KNOWN["inspyrenet"], "size": 48})
    assert cached_network(path).contents.metadata.input.size == 48 and one.contents.metadata.input.size == 64


def test_names_of_any_length_have_a_place_in_the_cache(tmp_path):
    path = write_network(tmp_path / f"u2net{'x y' * 80}.onnx", Form(32))
    assert cached_network(str(path)).directory.is_dir()


def test_a_runner_never_pads_a_batch_that_is_built_in():
    for alone, expected in ((True, 0), (False, 128)):
        metadata = MapMetadata("network", "default", "x", NetworkInput(32), NetworkOptions(alone=alone))
        runner = FunctionRunner()
        runner.graph = MapContents(metadata).graph
        runner.expect(128)
        assert runner.expected == expected and runner.graph.takes_batches != alone


def test_on_a_gpu_images_go_through_a_fixed_graph_one_at_a_time():
    seen = []

    def function(inputs):
        seen.append(len(inputs["image"]))
        return {"map": inputs["image"][:, :1] / 255}

    metadata = MapMetadata("network", "default", "x", NetworkInput(8), NetworkOptions(alone=True))
    runner = FunctionRunner(function)
    mapper = Mapper(runner, "x", metadata)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    whole = mapper.maps(images)
    runner.device = "cuda:0"
    assert np.array_equal(mapper.maps(images), whole) and seen == [3, 1, 1, 1]
