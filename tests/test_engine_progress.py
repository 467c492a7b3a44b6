"""Progress on a terminal and in a log."""

import io
import time

from rich.console import Console

from unsee.engine.outputs.rows import Row
from unsee.engine.progress import Progress, RunProgress


def log(interval=30.0, kind=Progress):
    """Return a progress that writes into a file, and the file."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=False, width=200)
    return (kind(console, "pairs", interval) if kind is Progress else kind(console, interval)), file


def lines_of(file):
    return file.getvalue().splitlines()


def test_a_log_has_the_first_result_a_line_every_so_often_and_the_end():
    progress, file = log(interval=0.1)
    with progress.shown(4):
        progress.count(1)
        assert lines_of(file)[0].startswith("1 of 4 pairs, 0 failed, ")
        assert lines_of(file)[0].endswith("0:00:00 left")
        time.sleep(0.35)
        assert 3 <= len(lines_of(file)) <= 5
        progress.count(3, 2)
    assert lines_of(file)[-1].startswith("4 of 4 pairs, 2 failed, ")
    ended = len(lines_of(file))
    time.sleep(0.25)
    assert len(lines_of(file)) == ended


def test_a_log_of_work_that_hangs_says_so_too():
    progress, file = log(interval=0.05)
    with progress.shown(None):
        time.sleep(0.2)
        assert lines_of(file)[0] == "0 pairs, 0 failed, 0 pairs/s"


def test_ends_of_shards_that_follow_one_another_share_a_line():
    progress, file = log(kind=RunProgress)
    with progress.shown(40):
        for _ in range(20):
            progress.count_shard({"count": 2, "failed": 1, "carried": 0, "status_dict": {}, "stage_seconds": {}})
    assert [line.split(" images")[0] for line in lines_of(file)] == ["2 of 40", "40 of 40"]
    assert (progress.done, progress.failed) == (40, 20)


def test_a_shard_that_is_tried_again_counts_once():
    progress, _ = log(kind=RunProgress)
    rows = [
        Row(f"{shard:05d}{place:04d}", "path", "output", status="success") for shard in (0, 7) for place in (0, 1, 2)
    ]
    with progress.shown(6):
        for row in [*rows[:2], *rows[3:], *rows[:3]]:
            progress.count_row(row)
        progress.count_shard({"count": 3, "failed": 0, "carried": 0, "status_dict": {}, "stage_seconds": {}})
    assert progress.done == 6


def test_a_terminal_has_a_bar():
    file = io.StringIO()
    progress = RunProgress(Console(file=file, force_terminal=True, width=100))
    with progress.shown(4):
        progress.count(4, 1)
    assert "4/4" in file.getvalue() and "1 failed" in file.getvalue()
    assert "4 of 4" not in file.getvalue()
