"""Imports of optional packages, with one clear error when the extra that brings them is missing."""

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
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


OTHER_DISTRIBUTIONS = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-rocm")}
"""Other wheels that bring a package of that name."""


def installed_version(package: str) -> str | None:
    """Return the version of a package, of whichever wheel brings it; None where it is not installed, or has none."""
    return next(filter(None, map(_version, _wheels(package))), None)


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of some packages that have one."""
    return {package: found for package in packages if (found := installed_version(package))}


def rival_wheels(package: str) -> list[str]:
    """Return the wheels that brought a package of one name over each other, where there are several."""
    found = [wheel for wheel in _wheels(package) if _version(wheel)]
    return found if len(found) > 1 else []


def _wheels(package: str) -> tuple[str, ...]:
    return package.replace("_", "-"), *OTHER_DISTRIBUTIONS.get(package, ())


def _version(wheel: str) -> str | None:
    try:
        return version(wheel)
    except PackageNotFoundError:
        return None


def how_to_install(extra: str) -> str:
    """Return what to type for an extra, with the wheel's name and in a checkout, which has none."""
    return f"pip install 'unsee[{extra}]', or in a checkout pip install '.[{extra}]'"
