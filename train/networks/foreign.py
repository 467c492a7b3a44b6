"""Classifiers that are not ours: found by their names, and loaded by what knows them."""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UnseeError
from ...extras import require
from ...files import digest_of, sha256_of
from .foreign_names import FORMS, LIBRARIES

if TYPE_CHECKING:
    from .checkpoints import Classifier


@dataclass(frozen=True)
class Foreign:
    """A classifier of another library, or of a user's code.

    name: as the user wrote it. weights: a file to read instead of the library's own. size: side of the input in which a
    user's own network is looked at, where it is not the usual one.
    """

    name: str
    weights: Path | None = None
    size: int | None = None

    @property
    def checkpoint(self) -> None:
        """See `Found`."""
        return

    def load(self) -> "Classifier":
        """See `Found`; `MissingExtraError` without its library, `UnseeError` where there is no such classifier."""
        return self._loaded

    @cached_property
    def _loaded(self) -> "Classifier":
        require("torch", "train", "loading a classifier")
        prefix, _, rest = self.name.partition(":")
        if not rest.strip():
            raise UnseeError(f"{self.name}: name the classifier behind the colon, as {FORMS}")
        module = import_module(f".libraries.{LIBRARIES.get(prefix, 'factories')}", __package__)
        if prefix in LIBRARIES:
            return module.load(rest, self.weights)
        return module.load(self.name, self.weights, self.size)

    def digest(self) -> str:
        """Return a digest of the weights and of the code of the classifier, which is loaded to know them."""
        from .identity import fingerprint, source_files

        classifier = self.load()
        sources = [sha256_of(path) for path in source_files(classifier.module)]
        return digest_of([self.name, fingerprint(classifier), sources])
