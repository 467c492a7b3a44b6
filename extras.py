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
        message = f"{purpose} needs {package}, which is not installed: pip install 'unsee[{extra}]'"
        raise MissingExtraError(message) from None
