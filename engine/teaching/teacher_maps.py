"""Maps of photographs by several classifiers, made by whole runs: planned, in shards, taken up where they stopped."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from ...errors import UnseeError
from ...export.bundles.bundle import is_bundle
from ...export.wrapping.network_files import is_network_file
from ...files import digest_of
from ...train.networks.maps.mapper_names import map_checkpoint
from ...train.networks.model_names import load_classifier
from ...train.students.student_config import StudentConfig
from ..inputs.sources import Sources
from ..outputs.output_formats import map_reader
from ..outputs.plan import Plan, PlannedInput, read_plan
from ..outputs.sink import MapReader
from ..run import run
from ..run_config import RunConfig

FORMAT = "parquet"
"""Of the teachers' runs: a file a shard."""


@dataclass(frozen=True)
class TaughtPhotograph:
    """A photograph of the plan, with the encoded map of every teacher."""

    planned: PlannedInput
    maps: tuple[bytes, ...]

    def label(self, side: int) -> np.ndarray:
        """Return the mean of the maps on a grid, float32 [side,side] in 0..1."""
        return np.stack([_on_grid(data, side) for data in self.maps]).mean(0) / np.float32(255)


@dataclass(frozen=True)
class TeacherMaps:
    """The finished runs of all teachers over the same photographs."""

    plans: tuple[Plan, ...]

    @property
    def digest(self) -> str:
        """Of the photographs, and of all that decides their maps."""
        return digest_of([[plan.fingerprint, plan.identity] for plan in self.plans])

    @property
    def planned(self) -> int:
        """How many photographs there are, those without a map included."""
        return self.plans[0].count

    def photographs(self) -> Iterator[TaughtPhotograph]:
        """Yield those of which every teacher made a map, in the order of the plan."""
        for shard in range(self.plans[0].shards):
            readers = [map_reader(plan.folder, shard, FORMAT) for plan in self.plans]
            for planned in self.plans[0].rows(shard):
                stored = [_map_of(reader, planned) for reader in readers]
                if all(data is not None for data in stored):
                    yield TaughtPhotograph(planned, tuple(stored))  # pyright: ignore[reportArgumentType]


def check_teacher(teacher: str) -> None:
    """Raise `UnseeError` where there is no such model: a classifier, a map network or a bundle."""
    if not (is_bundle(teacher) or is_network_file(teacher) or map_checkpoint(teacher)):
        load_classifier(teacher)


def make_teacher_maps(config: StudentConfig, console: Console) -> TeacherMaps:
    """Run every teacher of a configuration over its photographs, with preset best and over mirror images, too.

    Raises `UnseeError` on unusable photographs and teachers; photographs that fail are left out.
    """
    folders = []
    for number, teacher in enumerate(config.teachers):
        folder = config.output / "teachers" / f"{number}-{_file_name(teacher)}"
        console.print(
            f"maps by teacher {number + 1} of {len(config.teachers)}: {teacher}", markup=False, soft_wrap=True
        )
        run(
            RunConfig(
                sources=Sources(config.photographs),
                output_folder=str(folder),
                model=teacher,
                mirror=True,
                output_format=FORMAT,
                device=config.device,
                max_error_rate=1.0,
            ),
            console,
        )
        folders.append(folder)
    plans = tuple(read_plan(folder) for folder in folders)
    if len({plan.fingerprint for plan in plans}) > 1:
        raise UnseeError(
            f"{config.output}: the photographs changed while the teachers looked at them: start anew elsewhere"
        )
    return TeacherMaps(plans)


def _file_name(teacher: str) -> str:
    return re.sub(r"[^\w.-]+", "_", Path(teacher).name)[:60]


def _map_of(reader: MapReader, planned: PlannedInput) -> bytes | None:
    stored = reader(planned)
    return None if stored is None else stored.saliency


def _on_grid(data: bytes, side: int) -> np.ndarray:
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture.convert("L").resize((side, side), Image.Resampling.BOX), np.float32)
