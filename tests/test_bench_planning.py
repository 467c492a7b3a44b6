"""The benchmark of planning: every way finds all files, and the last line says how long and in how much memory."""

import io
import json

from rich.console import Console

from unsee.bench.planning_speed import PlanningBench, bench_planning


def test_ways_are_compared_on_the_same_files():
    printed = io.StringIO()
    report = bench_planning(PlanningBench(count=1234, rounds=1), Console(file=printed))
    assert json.loads(printed.getvalue().splitlines()[-1]) == report
    assert report["inputs"] == 1234 and set(report["seconds"]) == {"plain", "plan", "check"}
    assert set(report["times_the_plain_loop"]) == {"plan", "check"} and min(report["memory_mb"].values()) > 10
