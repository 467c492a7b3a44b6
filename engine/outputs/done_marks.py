"""The done-mark of a shard, written last: its presence alone says that the shard is done, its contents what happened."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import UnseeError
from .layout import done_mark
from .rows import SUCCESS

MOST_REASONS = 100
"""Different failure reasons that a done-mark counts apart; the rest are `other`."""
STATS: dict[str, Callable[[Any], Any]] = {
    "count": int,
    "successes": int,
    "failed": int,
    "carried": int,
    "duration": float,
    "start_time": float,
    "end_time": float,
    "status_dict": dict,
    "stage_seconds": dict,
}
"""What a done-mark holds."""


def is_done(folder: Path, shard: int) -> bool:
    """Tell whether a shard's done-mark is there."""
    return done_mark(folder, shard).exists()


def done_shards(folder: Path, shards: int) -> Iterator[int]:
    """Yield the numbers of the shards of a run that are done."""
    return (shard for shard in range(shards) if is_done(folder, shard))


def read_stats(folder: Path, shard: int) -> dict[str, Any]:
    """Read a shard's done-mark; raise `UnseeError` where it is damaged."""
    path = done_mark(folder, shard)
    try:
        stats = {"carried": 0, **json.loads(path.read_text(encoding="utf-8"))}
        return {name: kind(stats[name]) for name, kind in STATS.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnseeError(
            f"{path}: damaged ({type(error).__name__}: {error}); unsee run --repair makes the shard again"
        ) from None


def shard_stats(
    counts: Counter[str], carried: int, started: float, ended: float, stages: dict[str, float]
) -> dict[str, Any]:
    """Return the contents of a shard's done-mark; carried: inputs taken over from an earlier run, stage seconds are summed
    over threads.
    """
    total = counts.total()
    reasons = dict(counts.most_common(MOST_REASONS))
    if len(counts) > MOST_REASONS:
        reasons["other"] = total - sum(reasons.values())
    return {
        "count": total,
        "successes": counts[SUCCESS],
        "failed": total - counts[SUCCESS],
        "carried": carried,
        "duration": ended - started,
        "start_time": started,
        "end_time": ended,
        "status_dict": reasons,
        "stage_seconds": stages,
    }
