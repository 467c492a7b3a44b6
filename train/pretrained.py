"""The checkpoints that are shipped inside the package."""

from pathlib import Path

DEFAULT_NAME = "unsee-small"
_DIRECTORY = Path(__file__).parent / "pretrained"


def pretrained_names() -> list[str]:
    """Return the names of the shipped checkpoints."""
    return sorted(path.parent.name for path in _DIRECTORY.glob("*/model.json"))


def pretrained_directory(name: str) -> Path | None:
    """Return the directory of the shipped checkpoint of that name, None where there is none."""
    return _DIRECTORY / name if name in pretrained_names() else None
