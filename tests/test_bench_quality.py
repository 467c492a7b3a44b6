"""The quality benchmark: rows for every model, method and stage, and the files it leaves."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from unsee.bench import quality
from unsee.bench.quality import QualityConfig, bench_quality
from unsee.cli.benchmarks import app
from unsee.engine.cleanup.presets import Preset
from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.tests.map_models import map_checkpoint


@pytest.fixture(scope="module")
def masks(photographs, tmp_path_factory):
    """Masks of the photographs: whatever is brighter than its mean; and the same as foreign maps."""
    folder = tmp_path_factory.mktemp("masks")
    for path in photographs.glob("*.*g"):
        grey = np.asarray(Image.open(path).convert("L"))
        Image.fromarray(np.uint8(255 * (grey > grey.mean()))).save(folder / f"{path.stem}.png")
    return folder


def test_every_stage_is_scored_and_perfect_maps_are_perfect(photographs, masks, tiny_model, tmp_path):
    config = QualityConfig(
        photographs, masks, (str(tiny_model),), ("gradient", "reference"), {"truth": masks}, batch_size=4
    )
    rows = bench_quality(config, tmp_path)
    assert [(row.method, row.stage) for row in rows] == [
        *((method, stage) for method in ("gradient", "reference") for stage in ("raw", "smoothed", "final")),
        ("maps as given", "final"),
    ]
    assert (rows[-1].f_measure, rows[-1].mae, rows[-1].images) == (1, 0, 10)
    assert all(0 < row.f_measure < 1 and row.images_per_second > 0 for row in rows[:-1])
    assert json.loads((tmp_path / "quality.json").read_text())["rows"][0]["method"] == "gradient"
    assert len((tmp_path / "quality.md").read_text().splitlines()) == 9
    assert len(pq.read_table(tmp_path / "quality.parquet")) == 60


def test_networks_that_make_maps_have_a_row_whatever_the_methods(photographs, masks, tmp_path):
    map_checkpoint(tmp_path / "net", "attentional")
    config = QualityConfig(
        photographs, masks, (str(tmp_path / "net"),), ("gradient", "reference"), batch_size=4, limit=3
    )
    (row,) = bench_quality(config)
    assert (row.model, row.method, row.stage, row.images) == ("net", "attentional", "final", 3)
    assert 0 < row.f_measure < 1 and row.images_per_second > 0


def test_unknown_method_is_named(photographs, masks, tiny_model):
    with pytest.raises(UnseeError, match="unknown method 'magic'; known: reference, paper, .*gradient, given"):
        bench_quality(QualityConfig(photographs, masks, (str(tiny_model),), ("magic",)))


@pytest.mark.slow
def test_ablations_and_peers_are_rows_of_the_same_table(photographs, masks, tiny_model, tmp_path, capsys):
    config = QualityConfig(
        photographs,
        masks,
        (str(tiny_model),),
        methods=("given",),
        given=Preset("given", DescentConfig(iterations=2)),
        ablations=("iterations=2,3", "low_level=false", "backend=onnxruntime,tensorrt", "precision=bf16"),
        peers=("plain-loop",),
        limit=3,
    )
    rows = bench_quality(config, tmp_path)
    labels = ["given", "iterations=2", "iterations=3", "low_level=false", "backend=onnxruntime", "precision=bf16"]
    methods = list(dict.fromkeys(row.method for row in rows))
    assert methods == [*labels, "plain-loop"]
    scores = {(row.method, row.stage): (row.f_measure, row.mae) for row in rows}
    for stage in ("raw", "smoothed", "final"):
        assert scores["iterations=2", stage] == scores["given", stage] != scores["iterations=3", stage]
    assert scores["low_level=false", "smoothed"] == scores["given", "smoothed"]
    assert scores["low_level=false", "final"] != scores["given", "final"]
    assert scores["backend=onnxruntime", "final"] == pytest.approx(scores["given", "final"], abs=0.05)
    assert [row.stage for row in rows if row.method == "plain-loop"] == ["final"]
    assert all(row.images == 3 and row.images_per_second > 0 for row in rows)
    report = json.loads((tmp_path / "quality.json").read_text())
    assert list(report["skipped"]) == [f"{tiny_model.name} backend=tensorrt"]
    assert "pip install" in report["skipped"][f"{tiny_model.name} backend=tensorrt"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report


def test_mistakes_are_told_before_anything_runs(photographs, masks):
    for wrong in ({"ablations": ("gama=1",)}, {"peers": ("magic",)}):
        with pytest.raises(UnseeError, match="nothing called 'gama'|unknown peer 'magic'"):
            bench_quality(QualityConfig(photographs, masks, ("no model",), **wrong))


def test_command_line_builds_the_configuration(photographs, masks, monkeypatch):
    seen = []
    monkeypatch.setattr(quality, "bench_quality", lambda config, output: seen.append((config, output)))
    options = [
        "--ablate",
        "gamma=0,1",
        "--ablate",
        "segments=0",
        "--peers",
        "plain-loop,spectral-residual",
        "--preset",
        "reference",
        "--gamma",
        "7",
    ]
    command = ["quality", "--images", str(photographs), "--gt", str(masks), "--maps", f"truth={masks}", *options]
    assert CliRunner().invoke(app, command).exit_code == 0
    ((config, output),) = seen
    assert config.ablations == ("gamma=0,1", "segments=0")
    assert config.peers == ("plain-loop", "spectral-residual")
    assert config.given.descent.gamma == 7
    assert (config.maps, output) == ({"truth": masks}, None)
    labels = [contender.method for contender in config.contenders()]
    assert labels[-6:] == ["given", "gamma=0", "gamma=1", "segments=0", "plain-loop", "spectral-residual"]
