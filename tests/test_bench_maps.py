"""The comparison on halves: what is trained and tested apart, the table, and going on."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from unsee.bench.maps import Halves
from unsee.cli.benchmarks import app


def data_set(folder: Path, count: int) -> Path:
    """Write photographs with an object each, masks, and priors that are the masks at a fifth of the contrast."""
    random = np.random.default_rng(0)
    for name in ("images", "masks", "PRIOR"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros((50, 70), np.uint8)
        top, left = random.integers(5, 25, 2)
        mask[top : top + 20, left : left + 25] = 255
        pixels = random.integers(0, 100, (50, 70, 3)) + mask[..., None] // 2
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"images/{number}.jpg")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
        Image.fromarray(mask // 5).save(folder / f"PRIOR/{number}.png")
    return folder


def test_the_halves_share_no_image_and_all_maps_are_scored(tiny_model, tmp_path):
    data = data_set(tmp_path / "data", 6)
    options = [
        "maps", "--folder", str(tmp_path / "out"), "--data", str(data), "--priors", str(data / "PRIOR"),
        "--start", str(tiny_model), "--promoter-epochs", "1", "--attentional-epochs", "1", "--threads", "1",
    ]  # fmt: skip
    results = [CliRunner().invoke(app, options) for _ in range(2)]
    for result in results:
        assert result.exit_code == 0, result.output
    figures, again = (json.loads(result.stdout.splitlines()[-1]) for result in results)
    assert figures["scores"] == again["scores"]
    assert list(figures["scores"]) == [
        "PRIOR", "PRIOR, promoted, T=1", "PRIOR, promoted, T=3",
        "descent", "descent, promoted, T=1", "descent, promoted, T=3",
        "best", "best, promoted, T=1", "best, promoted, T=3", "attentional",
    ]  # fmt: skip
    assert figures["scores"]["PRIOR"]["F (C)"] == 1  # stretched, these priors are the masks
    tested = {path.stem for path in (tmp_path / "out/test/images").iterdir()}
    trained = {item.key for item in _training_items(data)}
    assert tested | trained == {str(number) for number in range(6)}
    assert not tested & trained
    assert len((tmp_path / "out/tables.md").read_text().splitlines()) == 12


def _training_items(data: Path):
    from unsee.train.data.catalogue import open_dataset

    config = Halves(data, (), "", 0, (1, 1), None).training("attentional", Path())
    return open_dataset(config.training[0]).items
