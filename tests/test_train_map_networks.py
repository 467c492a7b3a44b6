"""Checkpoints of promoters and attentional networks: what is written loads again, what does not fit says why."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from unsee.errors import UnseeError
from unsee.train.networks.maps.mapper_metadata import (
    AttentionalOptions,
    MapMetadata,
    PromoterOptions,
    is_map_checkpoint,
    read_map_metadata,
)
from unsee.train.networks.maps.mappers import build_map_network, fingerprint, load_map_network, save_map_network
from unsee.train.networks.metadata import InputSpec

PROMOTER = MapMetadata(
    "promoter", "paper", "unsee_small", InputSpec(size=48), PromoterOptions(channels=4, embedding=6, grid=4)
)
ATTENTIONAL = MapMetadata(
    "attentional", "default", "unsee_small", InputSpec(size=32),
    AttentionalOptions(widths=(16, 8, 8), recurrent=8, grid=4), {"note": "of a test"},
)  # fmt: skip


@pytest.mark.parametrize("metadata", [PROMOTER, ATTENTIONAL], ids=lambda metadata: metadata.kind)
def test_round_trip(metadata, tmp_path):
    torch.manual_seed(0)
    mapper = build_map_network(metadata).eval()
    save_map_network(tmp_path / "net", mapper, metadata)
    loaded = load_map_network(tmp_path / "net")
    assert loaded.metadata == metadata == read_map_metadata(tmp_path / "net")
    assert not loaded.mapper.training
    assert not any(value.requires_grad for value in loaded.mapper.parameters())
    side = metadata.input.size
    image, prior = torch.rand(2, 3, side, side) * 255, torch.rand(2, 1, side, side)
    inputs = (image, prior) if metadata.kind == "promoter" else (image,)
    with torch.no_grad():
        found = loaded.mapper(*inputs)
        assert torch.equal(found, mapper(*inputs))
    assert found.shape == (2, 1, side, side)
    assert found.min() >= 0
    assert found.max() <= 1


def test_pixels_are_preprocessed_inside():
    spec = InputSpec(48, "BGR", 255.0, (104, 117, 123), (1, 2, 4))
    mapper = build_map_network(replace(PROMOTER, input=spec))
    image = torch.tensor([10.0, 20.0, 30.0]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(mapper.preprocess(image).flatten(), [30 - 104, (20 - 117) / 2, (10 - 123) / 4])


def test_the_fingerprint_covers_weights_and_constants(tmp_path):
    save_map_network(tmp_path, build_map_network(PROMOTER), PROMOTER)
    loaded = load_map_network(tmp_path)
    name = fingerprint(loaded)
    assert name.startswith("promoter-")
    assert len(name) == len("promoter-") + 12
    assert fingerprint(load_map_network(tmp_path)) == name
    options = replace(PROMOTER.options, iterations=3)
    assert fingerprint(replace(loaded, metadata=replace(PROMOTER, options=options))) != name
    with torch.no_grad():
        next(loaded.mapper.parameters()).add_(1e-3)
    assert fingerprint(loaded) != name


def test_a_promoter_without_a_prior_says_so():
    with pytest.raises(UnseeError, match="needs a prior"):
        build_map_network(PROMOTER)(torch.zeros(1, 3, 48, 48))


def test_other_directories_are_told_apart(tiny_model, tmp_path):
    assert not is_map_checkpoint(tiny_model)
    assert not is_map_checkpoint(tmp_path)
    save_map_network(tmp_path, build_map_network(ATTENTIONAL), ATTENTIONAL)
    assert is_map_checkpoint(tmp_path)
    with pytest.raises(UnseeError, match="not the description of a map network"):
        load_map_network(tiny_model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "other"}, "kind must be one of"),
        ({"preset": "release"}, "preset of attentional must be"),
        ({"backbone": "resnet18"}, "backbone of attentional must be one of"),
        ({"options": {"widths": [16, 8, 8], "flavour": 1}}, "not the description"),
        ({"options": {"widths": [16, 9]}}, "multiples of 8"),
        ({"options": {"widths": [32, 8, 8], "recurrent": 8, "grid": 4}}, "do not fit this attentional"),
    ],
)
def test_damaged_descriptions_are_one_clear_error(changes, message, tmp_path):
    save_map_network(tmp_path, build_map_network(ATTENTIONAL), ATTENTIONAL)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UnseeError, match=message):
        load_map_network(tmp_path)


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"grid": 3}, {"region": "x"}, {"regions": "x"}])
def test_constants_of_a_promoter_are_checked(wrong):
    with pytest.raises(UnseeError):
        PromoterOptions(**wrong)


def test_the_input_must_be_a_multiple_of_16():
    with pytest.raises(UnseeError, match="multiple of 16"):
        replace(PROMOTER, input=InputSpec(size=50))


def test_descriptions_are_read_without_torch(tmp_path):
    save_map_network(tmp_path, build_map_network(PROMOTER), PROMOTER)
    code = f"""
import sys
from pathlib import Path
from unsee.train.networks.maps.mapper_metadata import is_map_checkpoint, read_map_metadata
assert is_map_checkpoint(Path({str(tmp_path)!r}))
assert read_map_metadata(Path({str(tmp_path)!r})).options.embedding == 6
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
