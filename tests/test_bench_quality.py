"""The quality benchmark: rows for every model, method and stage, and the files it leaves."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.bench.quality import QualityConfig, bench_quality
from unsee.errors import UnseeError


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


def test_unknown_method_is_named(photographs, masks, tiny_model):
    with pytest.raises(UnseeError, match="unknown method 'magic'; known: reference, paper, .*gradient, given"):
        bench_quality(QualityConfig(photographs, masks, (str(tiny_model),), ("magic",)))
