"""The benchmarks of whole runs, on little work: every way is measured, and the last line printed is JSON."""

import json

import pytest
from rich.console import Console

from unsee.bench.speed import distribution, whole_runs
from unsee.bench.speed.distribution import WAYS, Way, bench_distribution
from unsee.bench.speed.pipeline_speed import bench_pipeline
from unsee.errors import UnseeError
from unsee.threads import cores

pytestmark = pytest.mark.ray


@pytest.fixture
def console(tmp_path):
    with (tmp_path / "printed.txt").open("w+") as file:
        yield Console(file=file)


def last_line(console):
    console.file.seek(0)
    return json.loads(console.file.read().splitlines()[-1])


@pytest.mark.proof
def test_pipeline_is_held_against_the_descent_and_the_plain_script(photographs, tiny_model, console):
    report = bench_pipeline(str(photographs), str(tiny_model), count=5, rounds=2, batch_size=2, console=console)
    assert last_line(console) == report
    assert (report["images"], report["rounds"], report["backend"]) == (5, 2, "onnxruntime")
    assert min(report["images_per_second"].values()) > 0
    assert 0 < report["descent_share_of_wall"] < 1
    assert {"read", "decode", "descent", "post", "encode", "write"} <= report["stage_milliseconds_per_image"].keys()


@pytest.mark.proof
@pytest.mark.skipif(cores() < 2, reason="two actors of a core each need two cores")
def test_two_are_held_against_one_and_against_none(photographs, tiny_model, console, monkeypatch):
    """With processes in the place of actors, whose equal results other tests show: starting Ray takes long."""
    monkeypatch.setitem(WAYS, "ray_1", Way((), 1))
    monkeypatch.setitem(WAYS, "ray_2", Way(("--processes", "2"), 2))
    report = bench_distribution(str(photographs), str(tiny_model), 2, 3, iterations=1, rounds=1, console=console)
    assert last_line(console) == report
    assert report["images_per_second"].keys() == WAYS.keys()
    speeds = report["images_per_second"]
    assert report["two_actors_over_one"] == pytest.approx(speeds["ray_2"] / speeds["ray_1"], rel=0.05)


def test_a_single_core_is_refused(photographs, tiny_model, monkeypatch):
    monkeypatch.setattr(distribution, "cores", lambda: 1)
    with pytest.raises(UnseeError, match="two cores"):
        bench_distribution(str(photographs), str(tiny_model))


def test_a_whole_run_says_how_busy_the_slowest_stage_is(photographs, tiny_model, console, monkeypatch):
    monkeypatch.setattr(whole_runs, "LEAST_IMAGES", 7)
    report = bench_pipeline(
        str(photographs), str(tiny_model), count=5, rounds=1, batch_size=2, shard_sizes=(3, 10), console=console
    )
    assert [(row["samples"], row["images"]) for row in report["shards"]] == [(3, 7), (10, 12)]
    assert all(0 < row["share"] <= 1 and row["images_per_second"] > 0 for row in report["shards"])
