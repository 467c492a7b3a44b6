"""The names of classifiers that are not ours, told apart without importing anything."""

import re

FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
LIBRARIES = {"torchvision": "torchvision_models", "timm": "timm_models", "hf": "hugging_face"}
"""Where each library's classifiers are loaded, by the prefix of their names; all else before a colon is a user's module."""
FORMS = "torchvision:NAME, timm:NAME, hf:DIRECTORY or package.module:factory"


def factory_of(name: str) -> str | None:
    """Return a name that has the form of a factory, and not of a library's classifier; None of any other."""
    return name if FACTORY.fullmatch(name) and name.partition(":")[0] not in LIBRARIES else None


def is_foreign(name: str) -> bool:
    """Say whether a name has the form of a library's classifier or of a factory."""
    return (name.partition(":")[0] in LIBRARIES and ":" in name) or bool(FACTORY.fullmatch(name))
