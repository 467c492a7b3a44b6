"""What runs shards, in whichever process it lives: it holds the loaded models."""

from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from itertools import chain
from typing import TypeAlias

from ...export.runtime.model_info import ModelInfo
from ...kernels.compiling import announce_compiling
from ...quiet import quiet_decoders
from ..methods.methods import open_method
from ..methods.models import open_descender
from ..methods.networks import Promoter
from ..outputs.plan import ShardJob
from ..outputs.rows import Row
from ..run_config import RunConfig
from ..shard import ShardRunner
from ..stores.store import Store
from ..workers.interruption import working
from .open_shard import Finished

OnRow: TypeAlias = Callable[[Row], None]
OnDone: TypeAlias = Callable[[Finished], None]
Take: TypeAlias = Callable[[], ShardJob | None]


class ShardWorker:
    """Opens the model once, on first use, in whichever process it lives, and runs shards."""

    def __init__(self, config: RunConfig, store: Store, on_row: OnRow | None = None) -> None:
        self.config = config
        self.store = store
        self.on_row = on_row
        quiet_decoders()

    @cached_property
    def runner(self) -> ShardRunner:
        """The runner with the loaded models."""
        announce_compiling()
        promoter = Promoter.opened(self.config)
        return ShardRunner(open_method(self.config, open_descender, promoter), self.config, promoter)

    @cached_property
    def warm_runner(self) -> ShardRunner:
        """The runner, with everything compiled: no stage of a shard is charged for that."""
        self.runner.warm_up()
        return self.runner

    def info(self) -> ModelInfo:
        """Return what runs where."""
        return self.runner.info

    def close(self) -> None:
        """Give back what the models hold, where they were opened."""
        if "runner" in vars(self):
            self.runner.close()

    def run(self, take: Take, on_done: OnDone) -> None:
        """Run the shards that `take` gives, until it gives None.

        The first is taken before the model is opened: a worker that does not survive that has a shard to answer for.
        """
        first = take()
        if first is None:
            return
        plan = self.store.plan()
        jobs = chain([first], iter(take, None))
        with working(plan.folder), closing(self.warm_runner.run(plan, jobs, self.on_row, self.store)) as done:
            for finished in done:
                on_done(finished)
