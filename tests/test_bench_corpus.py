"""The benchmark of a large corpus, on a small one."""

import json

import pytest
from rich.console import Console

from unsee.bench.corpus_speed import CorpusBench, bench_corpus
from unsee.bench.speed.whole_runs import WholeRun


@pytest.mark.proof
def test_a_corpus_is_held_against_a_small_one_and_the_descent(photographs, tmp_path):
    with (tmp_path / "printed.txt").open("w+") as file:
        report = bench_corpus(CorpusBench(str(photographs), count=60, small=50, batch_size=4), Console(file=file))
        file.seek(0)
        assert json.loads(file.read().splitlines()[-1]) == report
    assert (report["images"], report["small_corpus"]) == (60, 50)
    assert min(report["megabytes"].values()) > 100
    assert min(report["images_per_second"].values()) > 0
    assert 0.8 < report["memory_over_small_corpus"] < 1.2


@pytest.mark.proof
@pytest.mark.ray
def test_a_corpus_is_finished_though_a_machine_dies(photographs):
    pytest.importorskip("ray", reason="ray is not installed (the ray extra)")
    bench = CorpusBench(str(photographs), count=200, small=50, samples=10, batch_size=5, ray=True)
    report = bench_corpus(bench, Console(quiet=True))
    assert report["machines"] == 2
    assert min(report["megabytes"].values()) > 100
    assert report["memory_over_small_corpus"] < 1.3


def test_the_slowest_stage_is_the_one_that_is_busy_most():
    run = WholeRun(10.0, {"decode": 12.0, "descent": 9.0, "write": 7.0})
    assert run.slowest(workers=2) == ("descent", 0.9)
    assert run.slowest(workers=1) == ("decode", 1.2)
