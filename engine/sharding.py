"""How a plan cuts its inputs into shards."""

from dataclasses import dataclass
from typing import Literal

OutputNames = Literal["mirror", "key"]


@dataclass(frozen=True)
class Sharding:
    """samples: inputs in a shard. output_names: maps mirror the inputs' paths, or are called by shard and key."""

    samples: int = 1000
    output_names: OutputNames = "mirror"
