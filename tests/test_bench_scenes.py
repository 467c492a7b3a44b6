"""The papers' comparison on generated scenes: every kind of map has a score, and a second call trains nothing anew."""

import json

import pytest
from rich.console import Console

from unsee.bench.scene_tables import World, compare_on_scenes


@pytest.mark.proof
def test_tables_of_a_tiny_world(tiny_model, tmp_path, capsys):
    world = World(8, 4, 1, 48, str(tiny_model), 0.01, 3)
    figures = compare_on_scenes(tmp_path, world, Console(quiet=True))
    kinds = ["rc", "rbd", "saliency-filters", "gradient (CNN1)", "CNN1", "CNN2", "CNN3", "CNN2+CNN3", "smoothed", "refined",
             "segmented", "B (CNN1)"]  # fmt: skip
    assert list(figures["scores"]) == kinds
    assert all(0 <= score <= 1 for pair in figures["scores"].values() for score in pair)
    assert figures["errors"][0][2:] == ["CNN1 all", "CNN1 last-faster", "CNN1 last-only", "CNN2 all", "CNN3 all"]
    text = (tmp_path / "tables.md").read_text()
    assert all(f"| {kind} |" in text for kind in kinds)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["scores"]["rc"] == pytest.approx(
        figures["scores"]["rc"]
    )
    trained = (tmp_path / "cnn1-all/training.pt").stat().st_mtime_ns
    assert compare_on_scenes(tmp_path, world, Console(quiet=True))["scores"] == figures["scores"]
    assert (tmp_path / "cnn1-all/training.pt").stat().st_mtime_ns == trained
