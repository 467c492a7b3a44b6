"""The store that an output folder names."""

from pathlib import Path

from ..remote.opening import local_path
from .store import Store


def store_of(place: str) -> Store:
    """Return the store of a path or a URL; raises `UnseeError` on a URL that nothing opens."""
    path = local_path(place)
    if path is not None:
        return Store(Path(path))
    from .remote_store import RemoteStore  # what it imports takes a while

    return RemoteStore(place)
