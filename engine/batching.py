"""Descending on batches as large as memory allows; the size of a batch never decides a result."""

import numpy as np

from ..errors import UnseeError
from ..export.sessions import Descent, Session

AUTOMATIC_ON_CPU = 16
AUTOMATIC_ON_GPU = 128


class Batcher:
    """Runs a session on batches of at most `size` images, and on smaller ones once memory has run out."""

    def __init__(self, session: Session, size: int | None = None) -> None:
        automatic = AUTOMATIC_ON_CPU if session.info.device == "cpu" else AUTOMATIC_ON_GPU
        self.session = session
        self.size = size or automatic

    def descend(self, images: np.ndarray, iterations: int | None = None, targets: np.ndarray | None = None) -> Descent:
        """Descend as `Session.descend` does; where memory runs out the batch is halved, for good."""
        parts: list[Descent] = []
        start = 0
        while start < len(images) or not parts:
            try:
                part = slice(start, start + self.size)
                wanted = None if targets is None else targets[part]
                parts.append(self.session.descend(images[part], iterations, wanted))
                start += self.size
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._halve()
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _halve(self) -> None:
        if self.size == 1:
            raise UnseeError("out of memory with a single image: use a smaller model or another device") from None
        self.size //= 2


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of any runtime means that a smaller batch may fit."""
    return (
        isinstance(error, MemoryError)
        or "out of memory" in str(error).lower()
        or "alloc" in type(error).__name__.lower()
    )


def _joined(parts: list[Descent]) -> Descent:
    return Descent(
        np.concatenate([part.delta for part in parts]),
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.targets for part in parts]),
    )
