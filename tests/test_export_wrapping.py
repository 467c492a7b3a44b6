"""What is known of people's networks, what is said of one, and how files are looked at."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from unsee.errors import UnseeError
from unsee.export.bundles.map_contents import MapContents
from unsee.export.graph.eager import eager_mapper
from unsee.export.runtime.mapper import Mapper
from unsee.export.wrapping.known_networks import KNOWN, known_by_graph, known_by_name
from unsee.export.wrapping.module_networks import load_module
from unsee.export.wrapping.network_files import ImageForm, is_network_file, read_network
from unsee.export.wrapping.plain_networks import PlainNetwork
from unsee.export.wrapping.specifications import are_of_a_map, nothing_more, specification
from unsee.export.wrapping.wrapped_networks import cached_network, looked_at
from unsee.tests.network_files import Form, write_network
from unsee.tests.runners import FunctionRunner
from unsee.train.networks.input_choice import OWN_INPUT, InputChoice
from unsee.train.networks.maps.mapper_metadata import MapMetadata
from unsee.train.networks.maps.network_input import NO_CHOICE, NetworkChoice, NetworkInput, NetworkOptions
from unsee.train.networks.metadata import InputSpec

UNSCALED = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
KNOWN_U2NET = {name: value for name, value in KNOWN["u2net"].items() if name != "activation"}
MODULE = """
from torch import nn

class Grey(nn.Module):
    def forward(self, image):
        return self.pooled(image.mean(1, keepdim=True))

def make():
    network = Grey()
    network.pooled = nn.AvgPool2d(2, ceil_mode=True)
    return network

def square():
    network = Grey()
    network.pooled = nn.AdaptiveAvgPool2d(24)
    return network
"""
"""Networks that need no weights: the brightness of an image at half its size."""

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
    free, large = (None, None), (1024, 1024)
    assert known_by_graph(["x"], seven, (320, 320)) == known_by_graph(["x"], seven, free) == "u2net"
    assert known_by_graph(["x"], seven, large) is known_by_graph(["x"], seven, (240, 320)) is None
    assert known_by_graph(["x"], twelve, large) == "dis"
    assert known_by_graph(["input_image"], ["output_image"], large) == "birefnet"
    assert known_by_graph(["pixel_values"], ["alphas"], free) == "rmbg"
    assert known_by_graph(["pixel_values"], ["logits"], free) is None


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
        ('{"size": [96, 0]}', "size must be at least 1"),
        ('{"size": [96, 128, 3]}', "size must be a whole number, got \\[96, 128, 3\\]"),
        ('{"size": "96x"}', "size must be a whole number, or height and width as in 288x384, got '96x'"),
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
    assert network.sides == (16, 16)
    network.write(tmp_path)
    probe = network.probe(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    session = onnxruntime.InferenceSession(str(tmp_path / "map.onnx"))
    pixels = probe.images.transpose(0, 3, 1, 2).astype(np.float32)
    assert np.abs(np.asarray(session.run(None, {"image": pixels})[0])[:, 0] - probe.maps).max() < 1e-5


OBLONG = [
    (Form((48, 64)), NO_CHOICE),
    (Form((64, 37), channels_last=True, type="uint8"), NO_CHOICE),
    (Form((37, 64), type="float16"), NetworkChoice(scale="largest")),
    (Form((64, 37), shrink=2, logits=True), NetworkChoice(activation="sigmoid-minmax")),
    (Form((26, 53), shrink=2, reshape=True, flat=True), NO_CHOICE),
    (Form((48, 31), opset=8), NO_CHOICE),
    (Form((48, 31), opset=10), NO_CHOICE),
    (Form((31, 48), opset=13), NO_CHOICE),
]


@pytest.mark.parametrize(("form", "choice"), OBLONG)
def test_images_of_unequal_sides_lie_at_the_top_left_of_the_grid(form, choice, tmp_path):
    path = write_network(tmp_path / "u2net.onnx", form)
    network = looked_at(path, OWN_INPUT, choice)()
    network.write(tmp_path)
    (height, width), size = form.size, max(form.size)
    spec = network.said.input
    assert (spec.sides, spec.size, spec.resizing.sides) == ((height, width), size, (height, width))
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    seen = images.copy()
    seen[:, height:], seen[:, :, width:] = 0, 0
    expected = network.probe(images).maps
    assert not expected[:, height:].any() and not expected[:, :, width:].any()
    assert expected[:, :height, :width].std() > 0.01
    assert MapMetadata.from_json(network.contents.metadata.to_json()).input == spec
    session = onnxruntime.InferenceSession(str(tmp_path / "map.onnx"))
    for batch in (images, seen):
        pixels = batch.transpose(0, 3, 1, 2).astype(np.float32)
        made = np.concatenate([np.asarray(session.run(None, {"image": one[None]})[0])[:, 0] for one in pixels])
        assert np.abs(made - expected).max() < (2e-3 if form.type == "float16" else 1e-5)


def test_what_is_said_of_unequal_sides_must_fit_the_graph(tmp_path):
    fixed, free = (read_network(write_network(tmp_path / f"u2net{size}.onnx", Form(size))) for size in ((48, 64), None))
    for given in ((48, 64), [48, 64], "48x64"):
        choice = InputChoice(given)  # pyright: ignore[reportArgumentType]
        assert specification(fixed, choice, NO_CHOICE).input == specification(fixed, OWN_INPUT, NO_CHOICE).input
        assert specification(free, choice, NO_CHOICE).input.sides == (48, 64)
    for given, written in {64: "64 x 64", (64, 48): "64 x 48"}.items():
        with pytest.raises(UnseeError, match=f"its input is 48 x 64, not {written}: leave the size out"):
            specification(fixed, InputChoice(given), NO_CHOICE)
    half = ImageForm("x", "float32", False, (48, None))
    assert specification(replace(free, image=half), OWN_INPUT, NO_CHOICE).input.sides == (48, 48)
    assert specification(replace(free, image=half), InputChoice((48, 64)), NO_CHOICE).input.sides == (48, 64)
    with pytest.raises(UnseeError, match="its input is 48 x \\?, not 64 x 64: give another --input-size"):
        specification(replace(free, image=half), InputChoice(64), NO_CHOICE)
    (tmp_path / "u2netNone.json").write_text('{"size": [48, 64]}')
    assert specification(free, OWN_INPUT, NO_CHOICE).input.sides == (48, 64)
    assert specification(free, InputChoice((64, 64)), NO_CHOICE).input == NetworkInput(**{**KNOWN_U2NET, "size": 64})
    with pytest.raises(UnseeError, match="classifier's input is square, got 48 x 64: give one side with --input-size"):
        InputChoice((48, 64)).input_of(InputSpec())


def test_maps_have_the_form_of_their_images():
    assert are_of_a_map((48, 64), (48, 64)) and are_of_a_map((3, 4), (65, 128)) and are_of_a_map((2, 2), (128, 65))
    assert not are_of_a_map((64, 48), (48, 64)) and not are_of_a_map((64, 64), (96, 128))
    assert are_of_a_map((16, 16), (64, 64))
    assert not are_of_a_map((16, 17), (64, 64)) and not are_of_a_map((8,), (64, 64))


def test_a_module_sees_unequal_sides_as_a_file_does(tmp_path, monkeypatch):
    (tmp_path / "oblongnets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    loaded = load_module("oblongnets:make", InputChoice((48, 37), *UNSCALED), NO_CHOICE)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)
    made = eager_mapper(loaded).maps(images)
    grey = torch.from_numpy(images[:, :, :37].astype(np.float32)).mean(3)[:, None] / 255
    expected = nn.functional.interpolate(nn.functional.avg_pool2d(grey, 2, ceil_mode=True), (48, 37), mode="bilinear")
    assert np.abs(made[:, :, :37] - expected[:, 0].numpy()).max() < 1e-5 and not made[:, :, 37:].any()
    with pytest.raises(UnseeError, match="output is \\[2, 1, 24, 24\\] for images of 48 x 37 .*not one map an image"):
        load_module("oblongnets:square", InputChoice((48, 37), *UNSCALED), NO_CHOICE)


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
    assert read_network(path).image.sides == (None, None)


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
