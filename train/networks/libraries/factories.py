"""Networks that a function of the user's own code makes: the only names that run code which is not installed with us."""

import sys
from importlib import import_module
from pathlib import Path

from torch import nn

from ....errors import UnseeError
from ..checkpoints import Classifier, matched_weights, read_weights
from ..metadata import InputSpec
from .loaded import classifier_of


def load(name: str, weights: Path | None = None, size: int | None = None) -> Classifier:
    """Call `package.module:factory`, which returns the network; weights: of a file, by default its own.

    The module is looked for in the working directory, too. The input is torchvision's usual one, of another size where one
    is given.
    """
    module = made(name)
    if weights:
        module.load_state_dict(matched_weights(read_weights(weights), module.state_dict(), name))
    spec = InputSpec() if size is None else InputSpec(size)
    return classifier_of(module, name, spec, factory=name)


def made(name: str) -> nn.Module:
    """Import a user's module and return what its function makes; `UnseeError` where there is none of the name."""
    place, _, factory = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        code = import_module(place)
    except ModuleNotFoundError as error:
        if error.name not in (place, place.partition(".")[0]):
            raise UnseeError(f"{name}: {place} needs {error.name}, which is not installed") from None
        raise UnseeError(f"{name}: there is no module {place}, here or installed") from None
    finally:
        sys.path.remove(str(Path.cwd()))
    found = getattr(code, factory, None)
    if not callable(found):
        raise UnseeError(f"{name}: {place} has no function {factory}")
    module = found if isinstance(found, nn.Module) else found()
    if not isinstance(module, nn.Module):
        raise UnseeError(f"{name} returned a {type(module).__name__}, not a torch.nn.Module")
    return module
