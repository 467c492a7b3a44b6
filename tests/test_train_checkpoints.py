"""Checkpoints: what is written loads again, and what does not fit says why."""

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file

from unsee.errors import UnseeError
from unsee.train.networks.checkpoints import load_checkpoint, load_weights, read_weights, save_checkpoint
from unsee.train.networks.identity import fingerprint
from unsee.train.networks.libraries.loaded import classifier_of
from unsee.train.networks.metadata import InputSpec
from unsee.train.networks.zoo import build_network


@pytest.fixture
def copied(tiny_model, tmp_path):
    """A checkpoint that a test may damage."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def edited_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_round_trip_in_half_precision(tiny_model, tmp_path):
    classifier = load_checkpoint(tiny_model)
    save_checkpoint(tmp_path / "half", classifier, torch.float16)
    again = load_checkpoint(tmp_path / "half")
    assert again.metadata == classifier.metadata
    assert again.labels == classifier.labels
    image = torch.randn(1, 3, 48, 48)
    assert all(tensor.dtype == torch.float32 for tensor in again.module.state_dict().values())
    torch.testing.assert_close(again.module(image), classifier.module(image), rtol=0.02, atol=0.01)


def test_loaded_network_is_frozen_and_in_eval_mode(tiny_model):
    module = load_checkpoint(tiny_model).module
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_fingerprint_covers_weights_and_input(tiny_model, copied):
    before = fingerprint(load_checkpoint(tiny_model))
    assert fingerprint(load_checkpoint(copied)) == before
    edited_json(copied / "model.json", input={**json.loads((copied / "model.json").read_text())["input"], "size": 64})
    assert fingerprint(load_checkpoint(copied)) != before


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_foreign_weights_load_unchanged(suffix, tmp_path):
    network = build_network("resnet18", 5).eval()
    path = tmp_path / f"official{suffix}"
    torch.save(network.state_dict(), path) if suffix == ".pth" else save_file(network.state_dict(), path)
    classifier = load_weights("resnet18", path)
    image = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(classifier.module(image), network(image))
    assert classifier.metadata.classes == len(classifier.labels) == 5
    assert classifier.metadata.input.std == (0.229, 0.224, 0.225)


def test_batch_counters_may_be_missing(tmp_path):
    tensors = {
        name: tensor for name, tensor in build_network("resnet18", 2).state_dict().items() if "tracked" not in name
    }
    save_file(tensors, tmp_path / "plain.safetensors")
    assert load_weights("resnet18", tmp_path / "plain.safetensors").metadata.classes == 2


def test_wrong_missing_and_extra_tensors_are_all_named(copied):
    tensors = read_weights(copied / "weights.safetensors")
    del tensors["features.0.bias"]
    tensors["surplus"] = torch.zeros(1)
    tensors["features.0.weight"] = torch.zeros(64, 3, 5, 5)
    save_file(tensors, copied / "weights.safetensors")
    with pytest.raises(UnseeError) as error:
        load_checkpoint(copied)
    assert "missing: features.0.bias" in str(error.value)
    assert "unexpected: surplus" in str(error.value)
    assert "shape: features.0.weight (64, 3, 5, 5) instead of (64, 3, 3, 3)" in str(error.value)


def test_label_count_must_be_the_class_count(copied):
    (copied / "labels.json").write_text('["cat", "dog"]')
    with pytest.raises(UnseeError, match="2 labels, but the network has 7 classes"):
        load_checkpoint(copied)


def test_class_count_must_be_the_networks(copied):
    edited_json(copied / "model.json", classes=9)
    (copied / "labels.json").write_text(json.dumps(["x"] * 9))
    with pytest.raises(UnseeError, match=r"shape: classifier.1.weight \(7, 512, 1, 1\) instead of \(9, 512, 1, 1\)"):
        load_checkpoint(copied)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.json", b"{", "not JSON"),
        ("model.json", b"[]", "not a model description"),
        ("model.json", b'{"network": "resnet18", "classes": 7}', "not a model description"),
        ("labels.json", b"{}", "expected a list of labels"),
        ("weights.safetensors", b"\x10\0\0\0\0\0\0\0junk", "damaged weights"),
    ],
)
def test_damaged_files_are_one_clear_error(copied, file, content, message):
    (copied / file).write_bytes(content)
    with pytest.raises(UnseeError, match=message):
        load_checkpoint(copied)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(UnseeError, match=r"model.json: cannot be read \(No such file"):
        load_checkpoint(tmp_path)


def test_pickles_that_run_code_are_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("this must not run",)

    (tmp_path / "hostile.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(UnseeError, match=r"not a plain weight file|damaged weights"):
        read_weights(tmp_path / "hostile.pth")


def test_real_checkpoints_load(shared):
    for name, tensors in (("squeezenet1_1", 52), ("tiny_darknet", 92)):
        classifier = load_checkpoint(shared / "models" / name)
        assert len(classifier.module.state_dict()) == tensors
        assert len(classifier.labels) == 1000


def test_a_checkpoint_runs_no_code_that_it_names(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    save_checkpoint(tmp_path, classifier_of(network, "nets:make", InputSpec(8)))
    with pytest.raises(UnseeError, match="a checkpoint runs no code: name it as --model nets:make"):
        load_checkpoint(tmp_path)
