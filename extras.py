"""Imports of optional packages, with one clear error when the extra that brings them is missing."""

from importlib import import_module
from types import ModuleType

from .errors import MissingExtraError


def require(package: str, extra: str, purpose: str) -> ModuleType:
    """Import `package`, or raise `MissingExtraError` naming the extra to install and what it is for."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            raise
        raise MissingExtraError(f"{purpose} needs {package}, which is not installed: {how_to_install(extra)}") from None


def how_to_install(extra: str) -> str:
    """Return what to type for an extra, with the wheel's name and in a checkout, which has none."""
    return f"pip install 'unsee[{extra}]', or in a checkout pip install '.[{extra}]'"
