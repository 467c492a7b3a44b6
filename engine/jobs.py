"""What is asked of whoever runs shards."""

from dataclasses import dataclass

from .config import Retry


@dataclass(frozen=True)
class ShardJob:
    """A shard to run. retry: what to try again of a shard that is done, besides maps that are gone; None for all of it."""

    shard: int
    retry: Retry | None = None
