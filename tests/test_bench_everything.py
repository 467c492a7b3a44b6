"""The page of benchmarks is made from result files, and a benchmark that fails keeps its earlier result."""

import json

import pytest

from unsee.bench.everything import benchmarks_page, machine_name, run_benchmarks
from unsee.bench.machine import machine


@pytest.fixture
def results(tmp_path):
    about = {**machine(), "commit": "abc1234"}
    row = {"model": "m", "method": "reference", "stage": "final", "f_measure": 0.6432, "mae": 0.2, "images": 250}
    found = {
        "quality": [{"protocol": "cheng", "machine": about, "rows": [{**row, "images_per_second": 3.14159}]}],
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


def test_failing_benchmark_keeps_its_result_and_others_are_added(results, tmp_path):
    page = tmp_path / "page.md"
    before = json.loads((results / f"{machine_name()}.json").read_text())
    path = run_benchmarks({"pipeline": [["--images", "nowhere", "--model", "nowhere"]]}, results, page)
    assert json.loads(path.read_text()) == before
    assert page.read_text() == benchmarks_page(results)
