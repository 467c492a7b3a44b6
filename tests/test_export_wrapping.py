"""What is known of people's networks, what is said of one, and how files are looked at."""

import numpy as np
import pytest

from unsee.errors import UnseeError
from unsee.export.wrapping.known_networks import KNOWN, known_by_graph, known_by_name
from unsee.export.wrapping.network_files import is_network_file, read_network
from unsee.export.wrapping.plain_networks import PlainNetwork
from unsee.export.wrapping.specifications import nothing_more, specification
from unsee.export.wrapping.wrapped_networks import cached_network, looked_at
from unsee.tests.network_files import Form, write_network
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
    "ckpt_fast": "inspyrenet",
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
    import onnxruntime

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
    import onnxruntime

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
