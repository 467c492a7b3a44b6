"""The descent's benchmark: fair sides, a counted ceiling, one JSON line last."""

import json

import pytest
from rich.console import Console
from torch import nn

from unsee.bench.descent import PLAIN, bench_descent
from unsee.bench.roofline import iteration_flops
from unsee.tests.export_models import checkpoint


def test_operations_of_known_layers() -> None:
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    assert iteration_flops(convolution, 10) == 2 * 2 * 3 * 9 * 8 * 100
    assert iteration_flops(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5)), 4) == 2 * 2 * 48 * 5


def test_all_sessions_agree_and_the_last_line_is_json(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    model = checkpoint(tmp_path / "model", "unsee_small", size=64)
    result = bench_descent(
        str(model), 2, iterations=2, rounds=2, threads=1, compiled=False, console=Console(quiet=True)
    )
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    speeds = {speed["name"]: speed for speed in result["sessions"]}
    assert list(speeds) == [PLAIN, "torch", "onnxruntime"]
    assert speeds[PLAIN]["ratio"] == 1
    assert all(speed["update_error"] < 1e-3 for speed in speeds.values())
    assert all(0 < speed["share"] < 2 and speed["images_per_second"] > 0 for speed in speeds.values())
    assert result["ceiling_gflops"] > 1
