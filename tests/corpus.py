"""Made on the fly: a large corpus, a tiny model, and a descender that costs nothing."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from unsee.bench.command_memory import held_by
from unsee.engine.inputs.sources import Sources
from unsee.engine.outputs.layout import Sharding
from unsee.engine.run import run
from unsee.engine.run_config import RunConfig
from unsee.engine.shards import shard_worker
from unsee.engine.verify import faults
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.runtime.descender import Descender, Descent
from unsee.export.runtime.model_info import ModelInfo
from unsee.tests.runners import FunctionRunner
from unsee.train.networks.metadata import numbered_labels

SIZE = 16
IN_A_TAR = 1000
DAMAGED = 50  # every fiftieth file: 2 %


def write_corpus(folder: Path, count: int) -> None:
    """Write tars of small JPEG files of which every fiftieth is damaged."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    pictures = [_jpeg(random.integers(0, 256, (24, 20 + place, 3), np.uint8)) for place in range(20)]
    for first in range(0, count, IN_A_TAR):
        with tarfile.open(folder / f"{first // IN_A_TAR:05d}.tar", "w") as archive:
            for number in range(first, min(first + IN_A_TAR, count)):
                data = pictures[number % 20]
                _append(archive, f"{number:09d}.jpg", data[:40] if number % DAMAGED == 0 else data)


def picture_files(count: int) -> list[bytes]:
    """Return JPEG files of small pictures, no two alike."""
    random = np.random.default_rng(0)
    return [_jpeg(random.integers(0, 256, (24, 20 + place % 20, 3), np.uint8)) for place in range(count)]


def write_tiny_model(folder: Path) -> Path:
    """Write a checkpoint of SqueezeNet's shape with random weights, 7 classes and 48x48 input; return its folder."""
    import torch

    from unsee.train.networks.checkpoints import Classifier, save_checkpoint
    from unsee.train.networks.metadata import InputSpec, Metadata
    from unsee.train.networks.zoo import build_network

    torch.manual_seed(0)
    metadata = Metadata("squeezenet1_1", InputSpec(size=48), 7)
    save_checkpoint(folder, Classifier(build_network("squeezenet1_1", 7), metadata, numbered_labels(7)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a run directory but the stats, which hold times, and the lock."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and "_stats" not in path.name and path.name != ".lock"
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class IdleDescender(Descender):
    """The difference is the image itself."""

    def __init__(self) -> None:
        info = ModelInfo("idle", numbered_labels(3), SIZE, "idle", "cpu")
        super().__init__(FunctionRunner(), info, DescentConfig(iterations=1))

    def _descend(self, images: np.ndarray, iterations: int, targets: np.ndarray) -> Descent:
        delta = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        return Descent(delta, np.zeros((len(images), 3), np.float32), np.maximum(targets, 0))


def run_idle(folder: Path, count: int) -> None:
    """Run a corpus of `count` images through the engine, verify it, and print the peak memory in megabytes."""
    write_corpus(folder / "in", count)
    shard_worker.open_descender = lambda *_, **__: IdleDescender()
    config = RunConfig(
        Sources((str(folder / "in"),)),
        str(folder / "out"),
        output_format="webdataset",
        shards=Sharding(1000),
        batch_size=32,
    )
    summary = run(config)
    assert (summary.count, summary.failed) == (count, -(-count // DAMAGED)), summary
    peak = held_by()
    assert not list(faults(folder / "out"))
    print(peak)


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _append(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
