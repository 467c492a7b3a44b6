"""`unsee train student`."""

from typing import Annotated

import typer
from rich.console import Console

from ..train.students.student_config import StudentConfig
from .records import Flag, Maker, with_record


@with_record("config", StudentConfig, flags={"teachers": Flag(("--teacher",))})
def student(
    photographs: Annotated[
        list[str], typer.Argument(help="as the inputs of unsee run: files, folders, lists, archives")
    ],
    config: Maker[StudentConfig],
) -> None:
    """Train a network that makes maps of your photographs, without a single mask.

    Teachers (classifiers, by descent) make maps first; a student learns from the decided ones, and then from its own
    answers. The same command again goes on where it stopped. For example: unsee train student photos/ --output my-student/
    """
    from ..extras import require

    require("torch", "train", "training")
    from ..engine.teaching.teaching import train_student

    made, console = config(photographs=tuple(photographs)), Console(stderr=True)
    train_student(made, console)
    console.print(
        f"the student is in {made.output}: unsee run photos/ --model {made.output}", markup=False, soft_wrap=True
    )
