"""The kernels benchmark: what it reports, not how fast this machine is."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from unsee.bench.peers.scikit_image import finished_map, low_level_values
from unsee.bench.speed import kernel_speed as kernels
from unsee.bench.speed.kernel_speed import bench_kernels
from unsee.bench.speed.machine import machine
from unsee.kernels.contrast import low_level_map
from unsee.kernels.pooling import SuperpixelStatistics


def test_ends_with_one_json_line(monkeypatch):
    monkeypatch.setattr(kernels, "PAIR_SIZE", (30, 40))
    output = io.StringIO()
    report = bench_kernels(batch_size=3, size=32, rounds=2, console=Console(file=output, width=100))
    last = json.loads(output.getvalue().splitlines()[-1])
    assert last["results"] == report["results"]
    assert last["machine"] == machine()
    assert [result["goal"] for result in last["results"]][:6] == [3, 3, 3, 3, 8, 8]
    for result in last["results"]:
        assert result["milliseconds"] > 0
        assert result["ratio"] > 0


def test_the_peer_computes_the_same_low_level_map():
    """Else its time would say nothing."""
    rng = np.random.default_rng(0)
    color = rng.uniform(-50, 50, (1, 41, 3)).astype(np.float32)
    position = rng.random((1, 41, 2), np.float32)
    statistics = SuperpixelStatistics(color, position, np.ones((1, 41), np.int32), np.array([41], np.int32))
    expected = low_level_values(color[0].astype(float), position[0].astype(float))
    np.testing.assert_allclose(low_level_map(statistics)[0], expected, rtol=1e-6, atol=1e-9)


def test_the_peer_finishes_a_map():
    blocks = np.random.default_rng(1).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    finished = finished_map(blocks.repeat(12, axis=0).repeat(12, axis=1), np.ones((24, 36), np.float32), 6, 10.0)
    assert finished.min() == pytest.approx(0.2)
    assert finished.max() == pytest.approx(1.2)
