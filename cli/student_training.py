"""`unsee train student`."""

from typing import Annotated

import typer
from rich.console import Console

from ..train.students.student_config import StudentConfig
from .records import Flag, Maker, with_record

DEFAULT_TEACHERS = ("efficientnet-lite0",)


@with_record("config", StudentConfig, flags={"teachers": Flag(("--teacher",)), "masks": Flag(("--masks",))})
def student(
    photographs: Annotated[
        list[str], typer.Argument(help="as the inputs of unsee run: files, folders, lists, archives")
    ],
    config: Maker[StudentConfig],
) -> None:
    """Train a network that makes maps of your photographs, without a single mask.

    Teachers (classifiers, by descent) make maps first; a student learns from the decided ones, and then from its own
    answers. The same command again goes on where it stopped. For example: unsee train student photos/ --output student/
    """
    from ..extras import require

    require("torch", "train", "training")
    from ..engine.teaching.teaching import train_student

    teachers = tuple(config.given["teachers"]) or DEFAULT_TEACHERS
    train_student(config(photographs=tuple(photographs), teachers=teachers), Console(stderr=True))
