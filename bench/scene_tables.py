"""`unsee bench scenes`: papers A and B end to end on generated scenes: train, find, refine, segment, compare.

The tables are those of A's Table 1 and Figures 3 and 4 and of B's Table 1, on scenes that the trainings did not see. The
last line printed is JSON.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from ..engine.cleanup.presets import PRESETS, Preset
from ..engine.methods.detection import Detection, Failure
from ..engine.methods.method import Method
from ..engine.methods.method_config import MethodConfig, MethodName
from ..engine.methods.methods import open_method
from ..engine.methods.models import open_descender
from ..engine.segmentation.segment_config import SegmentConfig
from ..engine.segmentation.segmenter import Segmenter
from ..engine.workers.pipeline import batched
from ..files import write_bytes
from ..train.batches.classifier_config import ClassifierConfig, FineTuning, Variant
from ..train.curves import as_markdown, error_table
from ..train.data.datasets import Scene
from ..train.data.scenes import scenes
from .scoring.metrics import MetricSums
from .speed.machine import machine

TRAININGS: tuple[tuple[Variant, FineTuning], ...] = (
    ("cnn1", "all"),
    ("cnn1", "last-faster"),
    ("cnn1", "last-only"),
    ("cnn2", "all"),
    ("cnn3", "all"),
)
AT_ONCE = 20
FULL = PRESETS["a-reference"]
UNSMOOTHED = replace(FULL, post=replace(FULL.post, closing=0))


@dataclass(frozen=True)
class World:
    """What is trained and tested: numbers of scenes, passes, input side in pixels, classifier to start from, seed."""

    training: int
    test: int
    epochs: int
    input_size: int
    start: str
    learning_rate: float
    seed: int

    def training_config(self, folder: Path, variant: Variant, finetune: FineTuning) -> ClassifierConfig:
        """Return one training; the seeds of the scenes, training and test, follow from ours."""
        names = f"scenes:{self.training}:{2 * self.seed}", f"scenes:{self.test}:{2 * self.seed + 1}"
        return ClassifierConfig(
            training=names[0], validation=names[1], variant=variant, finetune=finetune, start=self.start,
            input_size=self.input_size, output=folder / f"{variant}-{finetune}",
            epochs=self.epochs, batch=32, learning_rate=self.learning_rate, seed=self.seed,
        )  # fmt: skip


def compare_on_scenes(folder: Path, world: World, console: Console) -> dict[str, Any]:
    """Train all classifiers (those that are done stay), score every kind of map, write tables.md, return the figures."""
    from ..train.classifiers import train_classifier

    for variant, finetune in TRAININGS:
        train_classifier(world.training_config(folder, variant, finetune), console)
    errors = error_table([folder / f"{variant}-{finetune}" for variant, finetune in TRAININGS])
    scores = {name: _scored(found, world) for name, found in _kinds(folder, world)}
    rows = [["map", "max F", "MAE"], *([name, f"{f:.3f}", f"{mae:.3f}"] for name, (f, mae) in scores.items())]
    text = f"{as_markdown(errors)}\n\n{as_markdown(rows)}\n"
    write_bytes(folder / "tables.md", text.encode())
    console.print(text, markup=False)
    figures = {"world": world.__dict__, "errors": errors, "scores": scores, "machine": machine()}
    typer.echo(json.dumps(figures))
    return figures


Finder = Callable[[list[Scene]], list[np.ndarray]]
"""Makes a map, uint8 or bool [S,S], for each of some scenes."""


def _kinds(folder: Path, world: World) -> Iterator[tuple[str, Finder]]:
    """Every kind of map by name, in the order of A's Figure 7."""
    cnn1, cnn2, cnn3 = (str(folder / f"{name}-all") for name in ("cnn1", "cnn2", "cnn3"))
    baselines: tuple[MethodName, ...] = ("rc", "rbd", "saliency-filters")
    for name in baselines:
        yield name, _finder(_method(name, cnn1, FULL))
    yield "gradient (CNN1)", _finder(_method("gradient", cnn1, FULL))
    yield "CNN1", _finder(_method("a", cnn1, UNSMOOTHED))
    yield "CNN2", _finder(_method("a", cnn1, UNSMOOTHED, cnn2=cnn2))
    yield "CNN3", _finder(_method("a", cnn1, UNSMOOTHED, cnn3=cnn3))
    yield "CNN2+CNN3", _finder(_method("a", cnn1, UNSMOOTHED, cnn2, cnn3))
    both = _method("a", cnn1, FULL, cnn2, cnn3)
    yield "smoothed", _finder(both)
    yield "refined", _finder(both, SegmentConfig(refine="ultrametric", seed=world.seed))
    yield "segmented", _finder(both, SegmentConfig("jaccard", seed=world.seed), mask=True)
    yield "B (CNN1)", _finder(_method("b", cnn1, PRESETS["reference"]))


def _method(
    name: MethodName, model: str, preset: Preset, cnn2: str | None = None, cnn3: str | None = None
) -> Method[Any]:
    config = MethodConfig(model=model, preset=preset, method=name, cnn2=cnn2, cnn3=cnn3)
    return open_method(config, open_descender)


def _finder(method: Method[Any], segmentation: SegmentConfig | None = None, mask: bool = False) -> Finder:
    segmenter, size = Segmenter(segmentation or SegmentConfig()), method.info.input_size

    def find(batch: list[Scene]) -> list[np.ndarray]:
        images = np.stack([np.asarray(Image.fromarray(scene.pixels).resize((size, size))) for scene in batch])
        found = segmenter.segmented(method.detections(method.compute(images), images), images, [""] * len(batch))
        return [_shown(detection, mask, scene) for detection, scene in zip(found, batch, strict=True)]

    return find


def _shown(detection: Detection | Failure | None, mask: bool, scene: Scene) -> np.ndarray:
    """The map or mask at the scene's size, zeros where the descent diverged."""
    height, width = scene.objects.shape
    if not isinstance(detection, Detection):
        return np.zeros((height, width), np.uint8)
    segment = detection.resized_mask(width, height) if mask else None
    return detection.resized(width, height) if segment is None else segment


def _scored(find: Finder, world: World) -> tuple[float, float]:
    """Return max F (b2 = 0.3) and MAE over the test scenes; every labelled object is foreground."""
    sums = MetricSums("cheng")
    read = (item.read() for item in scenes(world.test, 2 * world.seed + 1).items)
    for batch in batched(read, AT_ONCE):
        for scene, found in zip(batch, find(batch), strict=True):
            sums.update(found, ((scene.objects >= 0) * np.uint8(255)).astype(np.uint8))
    scores = sums.result().scores
    return scores["maxfmeasure"], scores["mae"]
