"""Bundles with a preset, from the command line: exported, checked, run, and refused when something is wrong."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from unsee.cli.app import app
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.networks.model_exports import bundle_preset, preset_of
from unsee.errors import ExitCode, UnseeError
from unsee.export.bundles.bundle import read_bundle
from unsee.tests.test_engine_run import unsee

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture(scope="module")
def bundle(tiny_model, photographs, tmp_path_factory):
    """A bundle of the tiny model with two constants of its own."""
    directory = tmp_path_factory.mktemp("bundle") / "bundle"
    options = [
        "--preset",
        "reference",
        "--iterations",
        "3",
        "--gamma",
        "50",
        "--alpha",
        "0.3",
        "--probes",
        str(photographs),
    ]
    result = RUNNER.invoke(app, ["export", str(tiny_model), str(directory), *options])
    assert result.exit_code == 0, result.output
    assert "share of pixels more than 1 level off after one iteration: 0" in result.output
    return directory


def test_preset_comes_back_whole(bundle):
    found = bundle_preset(str(bundle))
    assert (found.name, found.descent.gamma, found.descent.iterations, found.post.alpha) == ("reference", 50, 3, 0.3)
    assert bundle_preset("elsewhere") is None


def test_run_takes_the_bundles_constants_and_gives_pytorchs_maps(bundle, tiny_model, photographs, tmp_path):
    unsee("run", photographs, "--output-folder", tmp_path / "bundle", "--model", bundle)
    same = ("--preset", "reference", "--backend", "torch", "--iterations", 3, "--gamma", 50, "--alpha", 0.3)
    unsee("run", photographs, "--output-folder", tmp_path / "torch", "--model", tiny_model, *same)
    identity = json.loads((tmp_path / "bundle/plan.json").read_text())["identity"]
    assert (identity["backend"], identity["descent"]["gamma"], identity["post"]["alpha"]) == ("onnxruntime", 50, 0.3)
    for row in pq.read_table(tmp_path / "torch/00000.parquet").to_pylist():
        maps = [np.asarray(Image.open(tmp_path / side / f"{row['output']}.png"), int) for side in ("bundle", "torch")]
        assert (abs(maps[0] - maps[1]) <= 1).mean() > 0.99


def test_loop_constants_may_differ_and_graph_constants_may_not(bundle, photographs, tmp_path):
    base = ("run", photographs, "--model", bundle)
    unsee(*base, "--output-folder", tmp_path / "more", "--iterations", 5, "--final-threshold", 0.1)
    message = unsee(*base, "--output-folder", tmp_path / "other", "--gamma", 7, expect=ExitCode.USAGE)
    assert "gamma" in message


def test_check_repeats_the_comparison(bundle):
    result = RUNNER.invoke(app, ["check", str(bundle)])
    assert result.exit_code == 0
    assert "images with another top-1 class: 0, at most 0" in result.output


def test_tampered_bundle_is_refused(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    data = bytearray((copy / "step.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "step.onnx").write_bytes(data)
    assert RUNNER.invoke(app, ["check", str(copy)]).exit_code == ExitCode.USAGE


def test_bundle_without_a_known_preset_says_so(bundle):
    broken = read_bundle(bundle)
    object.__setattr__(broken.contents, "preset", {"name": "x", "post": {"magic": 1}})
    with pytest.raises(UnseeError, match="not a preset that this unsee knows"):
        preset_of(broken)


def test_checkpoint_keeps_the_named_preset(tiny_model):
    assert bundle_preset(str(tiny_model)) is None
    assert PRESETS["reference"].descent.gamma == 100
