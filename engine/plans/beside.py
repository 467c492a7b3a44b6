"""What a process beside the one that plans answers; it imports next to nothing, so that such processes are small."""

from ..inputs.tar_members import TarMember, tar_directory
from .identities import Measured, Places, measured


class Beside:
    """Asks for sizes, hashes, and reads the directories of tars."""

    def __init__(self, _note: object, _ask: object) -> None:
        pass

    def measured(self, places: Places) -> Measured:
        """See `measured`."""
        return measured(places)

    def directory(self, path: str) -> list[TarMember] | None:
        """See `tar_directory`."""
        return tar_directory(path)
