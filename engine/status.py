"""How far a run has come, from its done-marks alone."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .outputs.done_marks import done_shards, read_stats
from .outputs.plan import read_plan


@dataclass
class Summary:
    """Totals of a run directory: shards done of all, inputs done of all, failures, statuses, seconds by stage and in all.

    carried: inputs that were taken over as they were when their shards were last run, which took none of the seconds.
    left_out: what of the sources is no input, counted by reason.
    """

    shards: int = 0
    planned_shards: int = 0
    count: int = 0
    planned: int = 0
    failed: int = 0
    carried: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    stage_seconds: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def error_rate(self) -> float:
        """Share of the finished inputs that failed."""
        return self.failed / self.count if self.count else 0.0

    @property
    def rate(self) -> float:
        """Finished inputs per second of a shard's time, one shard after the other."""
        return (self.count - self.carried) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time for the remaining inputs at that rate, None before the first shard is done."""
        return (self.planned - self.count) / self.rate if self.rate else None


def summarize(folder: Path) -> Summary:
    """Add up the done-marks of a run directory."""
    plan = read_plan(folder)
    summary = Summary(planned_shards=plan.shards, planned=plan.count, left_out=plan.left_out)
    for shard in done_shards(folder, plan.shards):
        stats = read_stats(folder, shard)
        summary.shards += 1
        summary.count += stats["count"]
        summary.failed += stats["failed"]
        summary.carried += stats["carried"]
        summary.seconds += stats["duration"]
        summary.statuses.update(stats["status_dict"])
        summary.stage_seconds.update(stats["stage_seconds"])
    return summary
