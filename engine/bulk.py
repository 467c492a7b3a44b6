"""`unsee.run`: a run by plain words, with the settings that the command line has."""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UnseeError
from ..export.bundles.descent_config import DescentConfig
from ..train.networks.input_choice import InputChoice
from ..train.networks.maps.network_input import NetworkChoice
from .cleanup.presets import PostConfig, Preset, default_preset, preset
from .inputs.sources import Sources
from .networks.model_exports import bundle_preset
from .outputs.layout import Sharding
from .run import run as run_configuration
from .run_config import Resumption, RunConfig
from .segmentation.picture_config import PictureConfig
from .segmentation.segment_config import SegmentConfig
from .status import Summary

PARTS = {
    "sources": Sources,
    "input": InputChoice,
    "network": NetworkChoice,
    "segmentation": SegmentConfig,
    "pictures": PictureConfig,
    "shards": Sharding,
    "resumption": Resumption,
}
"""Records of which a setting may be a field, besides those of `RunConfig` itself."""
CONSTANTS = (DescentConfig, PostConfig)
"""Records of a preset, whose constants are settings, too."""
NOT_SET = {"sources", "output_folder", "inputs", *PARTS}


def run(
    inputs: str | Path | Iterable[str | Path] | RunConfig,
    output_folder: str | Path | None = None,
    *,
    preset: str | Preset | None = None,
    progress: Callable[[int, int | None, int], None] | None = None,
    console: Console | None = None,
    **settings: Any,
) -> Summary:
    """Make maps of images, in bulk, as `unsee run` does; the same call again goes on where it stopped.

    inputs: a file, folder, pattern, list or archive, or several; or a whole `RunConfig`. output_folder: the run directory.
    preset: a name or a `Preset`; None is a bundle's own, or the method's. progress: called with (done, total, failed) as
    images are finished, from any thread. console: where messages go, the standard error where None.
    settings: fields of `RunConfig`, `SegmentConfig`, `PictureConfig`, `Sharding`, `Sources`, `InputChoice`, `NetworkChoice`
    and `Resumption`, and constants of the preset, which the command line has as options: model, output_kind, iterations, ...
    Returns what the run came to. Raises `UnseeError` on unusable input, model, device, folder or setting,
    `FailedShardsError` after all others are done; failed images become rows, or with on_error="raise" end the run.
    """
    if isinstance(inputs, RunConfig):
        if output_folder is not None or preset is not None or settings.keys() - {"resumption"}:
            raise UnseeError("a RunConfig says all of a run: change it with dataclasses.replace")
        return run_configuration(inputs, console, settings.get("resumption"), progress)
    if output_folder is None:
        raise UnseeError("an output folder is needed: unsee.run(inputs, output_folder)")
    given = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    parts = {name: _taken(record, settings) for name, record in PARTS.items()}
    own: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value for name, value in _taken(RunConfig, settings).items()
    }
    descent, post = (_taken(record, settings) for record in CONSTANTS)
    if settings:
        raise UnseeError(_unknown(sorted(settings)[0]))
    base = _preset(preset, own)
    config = RunConfig(
        **own,
        preset=replace(base, descent=replace(base.descent, **descent), post=replace(base.post, **post)),
        sources=Sources(tuple(map(str, given)), **parts["sources"]),
        output_folder=str(output_folder),
        input=InputChoice(**parts["input"]),
        network=NetworkChoice(**parts["network"]),
        segmentation=SegmentConfig(**parts["segmentation"]),
        pictures=PictureConfig(**parts["pictures"]),
        shards=Sharding(**parts["shards"]),
    )
    return run_configuration(config, console, Resumption(**parts["resumption"]), progress)


def _taken(record: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a record out of the settings."""
    names = {item.name for item in fields(record) if item.init} - NOT_SET
    return {name: settings.pop(name) for name in names & settings.keys()}


def _preset(chosen: str | Preset | None, settings: dict[str, Any]) -> Preset:
    if isinstance(chosen, str):
        return preset(chosen)
    return chosen or bundle_preset(str(settings.get("model", ""))) or default_preset(settings.get("method", "b"))


def _unknown(name: str) -> str:
    records = (RunConfig, *PARTS.values(), *CONSTANTS)
    known = {item.name for record in records for item in fields(record) if item.init} - NOT_SET
    close = get_close_matches(name, known, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"unknown setting {name!r}{meant}"
