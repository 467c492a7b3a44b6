"""`unsee bench maps`: papers C and D on one half of a data set of images and masks, tested on the other half.

Trains a promoter and an attentional network; promotes maps that were made elsewhere, those of our own descent (preset
reference, which it was trained with) and of preset best (which it never saw); scores maps before and after under C's
protocol, the attentional network's under D's. The last line printed is JSON.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Console

from ..engine.cleanup.presets import PRESETS
from ..engine.inputs.sources import Sources
from ..engine.methods.method_config import PromotionConfig
from ..engine.run import run
from ..engine.run_config import RunConfig
from ..files import write_bytes
from ..train.batches.map_training_config import MapTrainingConfig
from ..train.curves import as_markdown
from ..train.data.catalogue import open_dataset
from ..train.data.folders import MaskedItem, masked_images
from ..train.networks.maps.mapper_metadata import Kind
from .scoring.evaluate import evaluate
from .scoring.scored_files import EvaluationConfig
from .speed.machine import machine

KINDS: tuple[Kind, ...] = ("promoter", "attentional")
PASSES = (1, 3)
"""T of the promoter: that of the paper's tables and that of its code."""
METRICS = ("mae", "fmeasure")


@dataclass(frozen=True)
class Halves:
    """What is trained and tested. data: root of a data set, see `masked_images`. priors: folders of maps of its images.

    start: classifier that the networks start from and that the descent runs on. seed: of the halves and the trainings.
    epochs: of the promoter and of the attentional network. threads: of the trainings.
    """

    data: Path
    priors: tuple[Path, ...]
    start: str
    seed: int
    epochs: tuple[int, int]
    threads: int | None

    def part(self, percent: str) -> str:
        """Return the name of a part of the data, such as that of 0-50%."""
        return f"folder:{self.data}#{percent}@{self.seed}"

    def training(self, kind: Kind, folder: Path) -> MapTrainingConfig:
        """Return the training of one network on the first half; none is examined on the second."""
        promoter = kind == "promoter"
        return MapTrainingConfig(
            kind=kind, training=(self.part("0-50%"),), output=folder / kind, start=self.start,
            input_size=256 if promoter else 160,
            options={} if promoter else {"deep_supervision": True}, epochs=self.epochs[KINDS.index(kind)], batch=5,
            schedule="cosine", smallest_crop=0.75, largest_crop=1.0, vary_colors=True, seed=self.seed,
            threads=self.threads, priors=(*self.priors, folder / "descent") if promoter else (),
            prior_share=0.5 if promoter else 0.0,
        )  # fmt: skip


def compare_on_halves(folder: Path, halves: Halves, console: Console) -> dict[str, Any]:
    """Train both networks, score all maps, write tables.md, return the figures; what is done stays done."""
    from ..train.map_training import train_map_network

    images = cast(MaskedItem, masked_images(halves.data).items[0]).image.parent
    run(RunConfig(Sources((str(images),)), str(folder / "descent"), model=halves.start), console)
    for kind in KINDS:
        train_map_network(halves.training(kind, folder), console)
    _lay_out_test(folder / "test", halves)
    run(_run_config(folder, folder / "best", model=halves.start, preset=PRESETS["best"]), console)
    scores = {
        **{f"{path.name}{name}": scored for path in (*halves.priors, folder / "descent", folder / "best")
           for name, scored in _promoted_scores(folder, path).items()},
        "attentional": _attentional_scores(folder),
    }  # fmt: skip
    rows = [[name, *(f"{value:.3f}" for value in numbers.values())] for name, numbers in scores.items()]
    table = as_markdown([["maps", *scores["attentional"]], *rows])
    write_bytes(folder / "tables.md", f"{table}\n".encode())
    console.print(table, markup=False)
    settings = {**asdict(halves), "data": str(halves.data), "priors": [str(path) for path in halves.priors]}
    figures = {"settings": settings, "scores": scores, "machine": machine()}
    typer.echo(json.dumps(figures))
    return figures


def _lay_out_test(folder: Path, halves: Halves) -> None:
    """Copy the images and the masks of the second half into folders of their own."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for item in cast(tuple[MaskedItem, ...], open_dataset(halves.part("50-100%")).items):
        shutil.copyfile(item.image, folder / "images" / item.image.name)
        shutil.copyfile(item.mask, folder / "masks" / f"{item.key}{item.mask.suffix}")


def _promoted_scores(folder: Path, priors: Path) -> dict[str, dict[str, float]]:
    """Return the scores of some maps before they are promoted and after each number of passes."""
    scores = {"": _scores(priors, folder)}
    for passes in PASSES:
        promotion = PromotionConfig(str(folder / "promoter"), passes, str(priors))
        output = folder / f"{priors.name}-promoted-{passes}"
        run(_run_config(folder, output, method="given", promotion=promotion))
        scores[f", promoted, T={passes}"] = _scores(output, folder)
    return scores


def _attentional_scores(folder: Path) -> dict[str, float]:
    run(_run_config(folder, folder / "attentional-maps", method="attentional", model=str(folder / "attentional")))
    return _scores(folder / "attentional-maps", folder)


def _run_config(folder: Path, output: Path, **settings: Any) -> RunConfig:
    return RunConfig(Sources((str(folder / "test/images"),)), str(output), **settings)


def _scores(maps: Path, folder: Path) -> dict[str, float]:
    """Return C's adaptive F and MAE, then D's maximal F and MAE, over the second half."""
    c, d = (
        evaluate(maps, folder / "test/masks", EvaluationConfig(protocol, METRICS)).metrics.scores
        for protocol in ("lps", "cheng")
    )
    return {"F (C)": c["adpfmeasure"], "MAE (C)": c["mae"], "max F (D)": d["maxfmeasure"], "MAE (D)": d["mae"]}
