"""The page of benchmarks is made from result files, and a benchmark that fails keeps its earlier result."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsee.bench.everything import benchmarks_page, machine_name, run_benchmarks, small_settings
from unsee.bench.speed.descent_speed import Speed
from unsee.bench.speed.graph_costs import Ceilings, Cost
from unsee.bench.speed.machine import machine
from unsee.bench.speed.roofline import roofline


@pytest.fixture
def results(tmp_path):
    about = {**machine(), "commit": "abc1234"}
    row = {"model": "m", "method": "reference", "stage": "final", "f_measure": 0.6432, "mae": 0.2, "images": 250}
    row["images_per_second"] = 3.14159
    quality = {"protocol": "cheng", "data": "set/images", "given": "reference", "machine": about, "skipped": {}}
    session = dict.fromkeys(Speed.__dataclass_fields__, 0.5) | {"name": "torch"}
    descent = {"model": "m", "batch_size": 8, "threads": 2, "sessions": [session], "machine": about}
    costs = [Cost("Conv", 3, 2_000_000_000, 1_000_000), Cost("Relu", 2, 1_000, 8_000_000)]
    found = {
        "quality": [
            {**quality, "rows": [row]},
            {**quality, "rows": [{**row, "method": "gamma=0"}], "skipped": {"m backend=tensorrt": "needs tensorrt"}},
        ],
        "descent": [{**descent, "roofline": roofline(costs, Ceilings(1e11, 1e10))}],
        "pipeline": [{"benchmark": "pipeline", "images_per_second": {"plain": 1.5}, "rounds": 3, "machine": about}],
    }
    (tmp_path / "results").mkdir()
    (tmp_path / f"results/{machine_name()}.json").write_text(json.dumps(found))
    return tmp_path / "results"


def test_page_has_a_table_for_every_result(results):
    page = benchmarks_page(results)
    assert f"## {machine_name()}" in page
    assert "| m | reference | final | 0.643 | 0.2 | 250 | 3.142 |" in page
    assert "| images per second: plain | 1.5 |" in page
    assert page.index("### quality") < page.index("### pipeline")
    assert "commit abc1234" in page
    first, second = page.split("### quality")[1].split("### descent")[0].split("`set/images`, protocol `cheng`")[1:]
    assert "of preset reference" not in first
    assert second.startswith("; `given` and its changes are of preset reference; ")
    assert "| m | gamma=0 | final |" in second
    assert "Left out: m backend=tensorrt: needs tensorrt" in second
    assert "Ceilings: 100 GFLOP/s in matrix products, 10.0 GB/s in copies; they meet at 10.0 operations a byte" in page
    assert "| Conv | 3 | 2 | 1 | 2000 | computing | 20 |" in page
    assert "| Relu | 2 | 1e-06 | 8 | 0.000125 | memory | 0.8 |" in page
    assert "| all | 5 | 2 | 9 | 222.2 | computing | 20.8 |" in page


def test_small_settings_need_no_photographs_and_no_masks(tmp_path):
    settings = small_settings(None, None, ["one", "two"], 6)
    models, peers, ablations = settings["quality"]
    images, masks = Path(models[1]), Path(models[3])
    names = [f"{number:07d}.png" for number in range(6)]
    assert [path.name for path in sorted(images.iterdir())] == [path.name for path in sorted(masks.iterdir())] == names
    for name in names:
        mask = np.asarray(Image.open(masks / name))
        assert mask.shape == Image.open(images / name).size == (224, 224)
        assert set(np.unique(mask)) == {0, 255}
    assert models[models.index("--models") + 1] == "one,two"
    assert peers[-2:] == ["--peers", "all"]
    assert ablations.count("--ablate") == 7
    assert ablations[ablations.index("--limit") + 1] == "1"
    assert len(settings["descent"]) == 2


def test_small_settings_take_the_given_photographs(tmp_path):
    settings = small_settings(tmp_path / "in", tmp_path / "gt", ["one"], 40)
    assert all(str(tmp_path / "in") in options for name in ("quality", "pipeline") for options in settings[name])
    assert settings["quality"][2][5] == "10"


def test_failing_benchmark_keeps_its_result_and_others_are_added(results, tmp_path):
    page = tmp_path / "page.md"
    before = json.loads((results / f"{machine_name()}.json").read_text())
    path = run_benchmarks({"pipeline": [["--images", "nowhere", "--model", "nowhere"]]}, results, page)
    assert json.loads(path.read_text()) == before
    assert page.read_text() == benchmarks_page(results)
