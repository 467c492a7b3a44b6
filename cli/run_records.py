"""The options that every command which runs the engine has, made from the records of a run."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal

import typer

from ..engine.inputs.sources import Sources
from ..engine.outputs.layout import Sharding
from ..engine.outputs.rows import Retry
from ..engine.run_config import Resumption, RunConfig
from ..engine.segmentation.picture_config import PictureConfig
from ..engine.segmentation.segment_config import SegmentConfig
from ..errors import UnseeError
from ..resizing import Sides
from ..train.networks.input_choice import InputChoice
from ..train.networks.maps.network_input import NetworkChoice
from ..train.networks.metadata import sides_of
from .records import Command, Flag, Maker, parameters_but, set_signature, with_record


def words(given: str | None) -> tuple[str, ...]:
    """Return words written with commas."""
    return tuple(word for word in (given or "").replace(" ", "").split(",") if word)


def three_numbers(given: str | None) -> tuple[float, float, float] | None:
    """Return three numbers written with commas."""
    if given is None:
        return None
    try:
        first, second, third = (float(part) for part in given.split(","))
    except ValueError:
        raise UnseeError(f"three numbers with commas belong where {given!r} stands, as in 0.485,0.456,0.406") from None
    return first, second, third


def input_sides(given: str | None) -> Sides | None:
    """Return height and width of an input, written as a side or as 288x384."""
    return None if given is None else sides_of(given, "input size")


def processes(given: str | None) -> int | Literal["auto"]:
    """Return a number of processes, or auto; 1 where nothing is given."""
    if given == "auto":
        return "auto"
    try:
        return int(given or 1)
    except ValueError:
        raise UnseeError(f"--processes takes a number or auto, got {given!r}") from None


def error_codes(given: str | None) -> Retry | None:
    """Return error codes written with commas; `all` and nothing stand for all of them."""
    if given is None:
        return None
    codes = frozenset(code.strip() for code in given.split(",")) - {""}
    return "all" if not codes or "all" in codes else codes


RECORDS = {
    "config": RunConfig,
    "input": InputChoice,
    "network": NetworkChoice,
    "segmentation": SegmentConfig,
    "pictures": PictureConfig,
    "sources": Sources,
    "shards": Sharding,
    "resumption": Resumption,
}
FLAGS = {
    "model": Flag(("--model", "-m")),
    "output_folder": Flag(("--output-folder", "-o")),
    "format": Flag(("--input-format",)),
    "path_column": Flag(("--path-column", "--url-col")),
    "allow_hosts": Flag(("--allow-hosts",), words),
    "samples": Flag(("--number-sample-per-shard",)),
    "processes": Flag(("--processes", "--processes-count"), processes),
    "input_size": Flag(("--input-size",), input_sides),
    "mean": Flag(("--mean",), three_numbers),
    "std": Flag(("--std",), three_numbers),
    "overwrite": Flag(("--overwrite",)),
    "extend": Flag(("--extend",)),
    "repair": Flag(("--repair",)),
    "rows_with": Flag(("--rows-with",), words),
    "retry": Flag(("--retry-errors",), error_codes),
}


@dataclass(frozen=True)
class RunRecords:
    """What was given of a run on the command line."""

    config: Maker[RunConfig]
    input: Maker[InputChoice]
    network: Maker[NetworkChoice]
    segmentation: Maker[SegmentConfig]
    pictures: Maker[PictureConfig]
    sources: Maker[Sources]
    shards: Maker[Sharding]
    resumption: Maker[Resumption]
    dry_run: bool

    def configured(self, inputs: list[str], **more: Any) -> RunConfig:
        """Return the configuration. more: fields that are no options of the command."""
        sources = self.sources(inputs=tuple(inputs))
        return self.config(
            sources=sources,
            input=self.input(),
            network=self.network(),
            segmentation=self.segmentation(),
            pictures=self.pictures(),
            shards=self.shards(),
            **more,
        )


def with_run(*but: str) -> Callable[[Command], Command]:
    """Replace a command's `given: RunRecords` by an option for each field of its records. but: fields left out."""

    def with_options(command: Command) -> Command:
        @wraps(command)
        def parsed(*args: Any, dry_run: bool, **options: Any) -> None:
            makers = {name: options.pop(name) for name in RECORDS}
            command(*args, given=RunRecords(**makers, dry_run=dry_run), **options)

        kind = Annotated[bool, typer.Option("--dry-run", help="show the plan and write nothing")]
        made = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Any) for name in RECORDS]
        dry_run = inspect.Parameter("dry_run", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        set_signature(parsed, [*parameters_but(command, "given"), *made, dry_run])
        wrapped: Command = parsed
        for name, record in RECORDS.items():
            wrapped = with_record(name, record, but, FLAGS)(wrapped)
        return wrapped

    return with_options
