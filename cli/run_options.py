"""The options that every command which runs the engine has: one record, so that none is written twice."""

from dataclasses import dataclass, replace
from typing import Annotated

import typer

from ..engine.inputs.sources import InputFormat, Sources
from ..engine.outputs.layout import OutputFormat, OutputNames, Sharding
from ..engine.outputs.rows import Retry
from ..engine.run_config import Distributor, OnError, Resumption, RunConfig
from ..engine.segmentation.segment_config import Refine, Segment, SegmentConfig
from ..threads import cores
from .records import with_record


@dataclass(frozen=True)
class RunOptions:
    """How images are read, processed and stored, and by whom; see `RunConfig`."""

    refine: Annotated[Refine, typer.Option(help="replace maps by the mean of segmentations from random seeds")] = "none"
    segment: Annotated[Segment, typer.Option(help="write a binary mask beside each map")] = "none"
    proposals: Annotated[
        str | None, typer.Option(help="folder of proposals for --segment jaccard: OUTPUT/*.png or OUTPUT.mat")
    ] = None
    seed: Annotated[int, typer.Option(help="of the random seeds of --refine and --segment")] = 0
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto"
    backend: Annotated[str, typer.Option(help="auto or the name of a runtime (unsee doctor)")] = "auto"
    batch_size: Annotated[int | None, typer.Option(help="images descended on together [default: automatic]")] = None
    number_sample_per_shard: Annotated[int, typer.Option(help="inputs that are finished and resumed together")] = 1000
    input_format: Annotated[InputFormat, typer.Option(help="what the inputs are; auto goes by name")] = "auto"
    path_column: Annotated[
        str | None, typer.Option("--path-column", "--url-col", help="column of a list that holds paths or URLs")
    ] = None
    image_column: Annotated[
        str | None, typer.Option(help="column of a parquet file that holds images [default: by type and name]")
    ] = None
    allow_hosts: Annotated[
        str | None, typer.Option(help="hosts with private addresses that may be read, with commas, or all")
    ] = None
    output_format: Annotated[OutputFormat, typer.Option(help="dummy writes rows but no maps")] = "files"
    output_names: Annotated[OutputNames, typer.Option(help="maps mirror their inputs' paths, or bear keys")] = "mirror"
    exif: Annotated[bool, typer.Option(help="turn images as their EXIF orientation says")] = True
    exact_decoding: Annotated[bool, typer.Option(help="decode large JPEGs at full size")] = False
    max_pixels: Annotated[int, typer.Option(help="larger images become failed rows")] = 100_000_000
    timeout: Annotated[float, typer.Option(help="seconds in which an image must be read and decoded")] = 60.0
    max_bytes: Annotated[int, typer.Option(help="larger image files become failed rows")] = 500_000_000
    on_error: Annotated[OnError, typer.Option(help="a failed image becomes a row, or ends the run")] = "record"
    max_error_rate: Annotated[float, typer.Option(help="share of failed images that still ends with exit code 0")] = 0.0
    workers: Annotated[int | None, typer.Option(help="threads that decode, and that encode [default: by CPU]")] = None
    distributor: Annotated[Distributor, typer.Option(help="this machine, or a Ray cluster")] = "local"
    processes: Annotated[
        int, typer.Option("--processes", "--processes-count", help="processes or Ray actors, each with its own model")
    ] = 1
    max_shard_retry: Annotated[int, typer.Option(help="how often a shard is tried again after a crash")] = 1
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and write nothing")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="start anew in a folder that holds another run")] = (
        False
    )
    extend: Annotated[bool, typer.Option("--extend", help="add inputs that are new since the run was planned")] = False
    retry_errors: Annotated[
        str | None, typer.Option(help="try failed images of finished shards again: error codes with commas, or all")
    ] = None
    repair: Annotated[bool, typer.Option("--repair", help="make maps again that are missing or damaged")] = False

    def sources(self, inputs: list[str]) -> Sources:
        """Return what the command's inputs stand for."""
        hosts = tuple(host for host in (self.allow_hosts or "").split(",") if host)
        return Sources(tuple(inputs), self.input_format, self.path_column, self.image_column, hosts)

    def configured(self, config: RunConfig) -> RunConfig:
        """Return a configuration, made of a command's own options, with these."""
        return replace(
            config,
            segmentation=SegmentConfig(self.segment, self.refine, proposals=self.proposals, seed=self.seed),
            device=self.device,
            backend=self.backend,
            batch_size=self.batch_size,
            shards=Sharding(self.number_sample_per_shard, self.output_names),
            output_format=self.output_format,
            exif=self.exif,
            max_pixels=self.max_pixels,
            exact_decoding=self.exact_decoding,
            on_error=self.on_error,
            max_error_rate=self.max_error_rate,
            timeout=self.timeout,
            max_bytes=self.max_bytes,
            workers=self.workers or min(4, cores()),
            distributor=self.distributor,
            processes=self.processes,
            max_shard_retry=self.max_shard_retry,
        )

    def resumption(self) -> Resumption:
        """Return how the run takes up what an earlier one left."""
        return Resumption(self.overwrite, self.extend, self._retry(), self.repair)

    def _retry(self) -> Retry | None:
        if self.retry_errors is None:
            return None
        codes = frozenset(code.strip() for code in self.retry_errors.split(",")) - {""}
        return "all" if not codes or "all" in codes else codes


with_run_options = with_record("options", RunOptions)
"""Replaces a command's `options: RunOptions` by an option for each of its fields."""
