"""The folder of a training: its own, kept from other trainings, and not laid over what something else made."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError, UnseeError
from ..files import removed_if_empty
from ..locks import alone
from .curves import CURVES_CSV, CURVES_PNG, FIGURES_FILE
from .networks.metadata import LABELS_FILE, MODEL_FILE, WEIGHTS_FILE
from .training_state import STATE_FILE

MARK = ".training"
"""Says of what kind the training is, and is locked while it goes on."""
WRITTEN = (MODEL_FILE, WEIGHTS_FILE, LABELS_FILE, FIGURES_FILE, CURVES_CSV, CURVES_PNG)
LEFT_BEFORE = {"student": ("rounds", "teachers"), "distillation": ("lessons",)}
"""What trainings of each kind left in their folders before these were marked; the others left their state."""


@contextmanager
def training_folder(output: Path, kind: str) -> Iterator[None]:
    """Hold the folder of a training, which is made, as its own for the block; one that is left empty is removed.

    kind: classifier, promoter, attentional, student or distillation. Raises `UnseeError` where the folder holds a training
    of another kind, the results of something else, or a training that is under way, and `OutputError` where anything that
    belongs in it cannot be written.
    """
    busy = UnseeError(f"another training is writing {output}: wait for it, or choose another --output")
    try:
        _refuse_others(output, kind)
        with removed_if_empty(output), alone(output / MARK, busy):
            (output / MARK).write_text(kind)
            try:
                yield
            finally:
                if [path.name for path in output.iterdir()] == [MARK]:
                    (output / MARK).unlink()
    except OSError as error:
        raise OutputError(f"{error.filename or output}: cannot be written ({error.strerror or error})") from error


def _refuse_others(output: Path, kind: str) -> None:
    mark = output / MARK
    known = mark.read_text() if mark.is_file() else ""
    if known and known != kind:
        raise UnseeError(f"{output} holds a training of another kind ({known}): choose another --output")
    if known or any((output / name).exists() for name in LEFT_BEFORE.get(kind, (STATE_FILE,))):
        return
    others = [name for name in WRITTEN if (output / name).exists()]
    if others:
        raise UnseeError(
            f"{output} holds {', '.join(others)}, which no such training left there: choose another --output"
        )
