"""`unsee train student`: teachers' maps, rounds of training on them and on the student's own answers, a checkpoint."""

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...errors import UnseeError
from ...files import atomic_path, digest_of, write_json
from ...terminal import counted
from ...train.curves import CURVES_CSV, FIGURES_FILE, write_curves
from ...train.data.catalogue import open_dataset
from ...train.data.datasets import Dataset
from ...train.loop import training_device, training_progress
from ...train.networks.checkpoints import Classifier
from ...train.networks.identity import fingerprint
from ...train.networks.maps.mappers import LoadedMapNetwork, PixelMapper, load_map_network, save_map_network
from ...train.networks.model_names import load_classifier
from ...train.ranks import Ranks
from ...train.students.feature_cache import Features, cached_features, feature_bytes
from ...train.students.lessons import Lessons
from ...train.students.made_marks import made, mark_made
from ...train.students.pseudo_labels import changed_share, chosen, next_labels
from ...train.students.student_config import StudentConfig
from ...train.students.student_course import answers, new_student, train_round
from ...train.training_folder import training_folder
from .label_refinement import refined_labels
from .student_lessons import Gathered, gather
from .teacher_maps import check_teacher, make_teacher_maps

ROUND_FILE = "round.json"
ANSWERS_FILE = "answers.npy"
GIGABYTE = 1e9


@dataclass(frozen=True)
class Round:
    """A finished round. answers: the student's maps, float32 [P,S/4,S/4]. figures: of its mark."""

    answers: np.ndarray
    figures: dict[str, Any]


def train_student(config: StudentConfig, console: Console | None = None) -> LoadedMapNetwork:
    """Train a student on photographs without masks, or go on where a killed training stopped; save and return it.

    `config.output` holds, beside the checkpoint with its figures and curves, the teachers' runs and the rounds; what is
    done is not done again. Raises `UnseeError` on unusable photographs, teachers, data or settings.
    """
    console = console or Console(quiet=True)
    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    masks = [open_dataset(name) for name in config.masks]
    classifier = load_classifier(config.start)
    new_student(config, classifier, 1)  # what cannot be a backbone is an error before the teachers begin
    for teacher in config.teachers:  # and what cannot be a teacher before the first one has looked at everything
        check_teacher(teacher)
    with training_folder(config.output, "student"):
        gathered = _gathered(config, masks, console)
        return Teaching(config, classifier, gathered, console).run()


def _gathered(config: StudentConfig, masks: list[Dataset], console: Console) -> Gathered:
    maps = make_teacher_maps(config, console)
    with training_progress(console) as bars:
        task = bars.add_task("gathering lessons", total=maps.planned)
        gathered = gather(config, maps, masks, lambda count: bars.advance(task, count))
        bars.remove_task(task)
    return gathered


class Teaching:
    """The rounds of one training."""

    def __init__(self, config: StudentConfig, classifier: Classifier, gathered: Gathered, console: Console) -> None:
        self.config, self.classifier, self.gathered, self.console = config, classifier, gathered, console
        self.device = training_device(config.device, Ranks())
        self.digest = digest_of([config.settings(), gathered.digest, fingerprint(classifier)])

    def run(self) -> LoadedMapNetwork:
        """Do the rounds that are left, and save the student of the last one."""
        rounds: list[dict[str, Any]] = []
        answered: np.ndarray | None = None
        for number in range(1, self.config.rounds + 1):
            done = self._finished(number) or self._round(number, answered)
            if done is None:
                break
            rounds.append(done.figures)
            answered = done.answers
            changed = done.figures["changed"]
            self.console.print(f"round {number}: {changed:.1%} of the pixels changed sides", markup=False)
            if changed < self.config.settled:
                break
        shutil.rmtree(self._features_folder, ignore_errors=True)
        return self._saved(rounds)

    def _labels(self, number: int, answered: np.ndarray | None) -> np.ndarray:
        """Return the labels of round `number`. answered: the student's maps after the round before; None in the first."""
        return self._teachers if answered is None else self._refined(next_labels(answered, self._teachers, number - 1))

    @cached_property
    def _teachers(self) -> np.ndarray:
        return self._refined(np.asarray(self.gathered.labels))

    @property
    def _features_folder(self) -> Path:
        return self.config.output / "features"

    def _round(self, number: int, answered: np.ndarray | None) -> Round | None:
        """Train a student, have it answer, and mark the round as done. answered: see `_labels`.

        Returns None where no label is left to learn from after a round; in the first that is a `UnseeError`.
        """
        config, folder = self.config, self.config.round_folder(number)
        labels = self._labels(number, answered)
        mapper = new_student(config, self.classifier, number).to(self.device)
        lessons = Lessons(self.gathered.pixels, labels, self.gathered.known, self._features(mapper))
        numbers = chosen(labels, self.gathered.known, config)
        if not len(numbers):
            reason = (
                f"none of {counted(len(lessons), 'photograph')} has an object of {config.smallest_object:.0%} to "
                f"{config.largest_object:.0%} of the frame (--smallest-object, --largest-object)"
            )
            if answered is None:
                raise UnseeError(reason)
            self.console.print(f"round {number} is left out: {reason}", markup=False)
            return None
        self.console.print(f"round {number}: learns from {len(numbers)} of {counted(len(lessons), 'photograph')}")
        curves = train_round(config, number, mapper, lessons, numbers, self.device, self.console)
        found = answers(mapper, lessons)
        with atomic_path(folder / ANSWERS_FILE) as temporary, temporary.open("wb") as file:
            np.save(file, found)
        save_map_network(folder / "student", mapper.cpu(), mapper.metadata)
        figures = {
            "photographs": len(numbers),
            "changed": changed_share(labels if answered is None else answered, found),
            "curves": curves,
        }
        mark_made(folder / ROUND_FILE, self.digest, **figures)
        return Round(found, figures)

    def _refined(self, labels: np.ndarray) -> np.ndarray:
        """Return labels that follow the photographs' edges; those that are masks stay masks."""
        if self.config.refine:
            with training_progress(self.console) as bars:
                task = bars.add_task("refining labels", total=len(labels))
                labels = refined_labels(labels, self.gathered.pixels, lambda count: bars.advance(task, count))
                bars.remove_task(task)
        return np.where(self.gathered.known[:, None, None], self.gathered.labels, labels)

    def _finished(self, number: int) -> Round | None:
        folder = self.config.round_folder(number)
        figures = made(folder / ROUND_FILE, self.digest)
        return Round(np.load(folder / ANSWERS_FILE), figures) if figures else None

    def _features(self, mapper: PixelMapper) -> Features | None:
        """Return the features of a frozen backbone, where they stay the same and fit into what may be kept."""
        count = len(self.gathered.pixels)
        size = feature_bytes(mapper, count)
        change = self.config.backbone_rate or self.config.augment
        if change or size > self.config.feature_budget * GIGABYTE:
            if not change:
                self.console.print(
                    f"features would take {size / GIGABYTE:.0f} GB (--feature-budget): computed in each step"
                )
            return None
        digest = digest_of([self.gathered.digest, fingerprint(self.classifier), self.config.input_size])
        with training_progress(self.console) as bars:
            task = bars.add_task("features", total=2 * count)
            found = cached_features(
                self._features_folder,
                mapper.eval(),
                self.gathered.pixels,
                digest,
                lambda done: bars.advance(task, done),
            )
            bars.remove_task(task)
        return found

    def _saved(self, rounds: list[dict[str, Any]]) -> LoadedMapNetwork:
        """Make the student of the last round the checkpoint, with the figures of all."""
        output = self.config.output
        loaded = load_map_network(self.config.round_folder(len(rounds)) / "student")
        curves = [
            {"round": number, **row, "epoch": row["epoch"] + (number - 1) * self.config.epochs}
            for number, done in enumerate(rounds, start=1)
            for row in done["curves"]
        ]
        figures = {
            "photographs": len(self.gathered.pixels) - self.gathered.masked,
            "with masks": self.gathered.masked,
            "rounds": [{name: done[name] for name in ("photographs", "changed")} for done in rounds],
            "loss": curves[-1]["loss"],
            "seconds": sum(row["seconds"] for row in curves),
        }
        write_curves(output / CURVES_CSV, curves)
        write_json(output / FIGURES_FILE, figures)
        provenance = {**loaded.metadata.provenance, "settings": self.config.settings(), "figures": figures}
        save_map_network(output, loaded.mapper, replace(loaded.metadata, provenance=provenance))
        return load_map_network(output)
