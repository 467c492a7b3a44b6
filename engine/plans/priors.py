"""Maps that were made by anything else and are to be promoted: found by their image's path, read, and fingerprinted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DecodingError
from ...formats import MAP_SUFFIXES
from ..decoding.decoded_image import DecodingConfig
from ..decoding.decoding import decode
from ..inputs.input import Input, ReadingError, read
from ..inputs.sources import Sources
from .fingerprint import fingerprint_now

MISSING_PRIOR, AMBIGUOUS_PRIOR, DAMAGED_PRIOR = "missing_prior", "ambiguous_prior", "damaged_prior"


class Priors:
    """A folder of maps, each called as the map of its image would be, with any suffix of an image."""

    def __init__(self, folder: str, config: DecodingConfig) -> None:
        self.folder = Path(folder)
        self.config = replace(config, exif=False, promoter_size=None)  # a map has no orientation of its own

    def read(self, member: Input) -> np.ndarray:
        """Return the map of an image on the network's grid, uint8 [S,S], scaled by nothing (spec 3.7).

        Raises `ReadingError` with code `missing_prior`, `ambiguous_prior` or the operating system's, `DecodingError` with
        code `damaged_prior`.
        """
        path = self._path(member.output)
        data = read(Input(str(path), member.output))
        try:
            pixels = decode(data, self.config).pixels
        except DecodingError as error:
            raise DecodingError(DAMAGED_PRIOR, f"{path}: {error}") from None
        return np.asarray(Image.fromarray(pixels).convert("L"))

    def _path(self, output: str) -> Path:
        candidates = (self.folder / f"{output}{suffix}" for small in MAP_SUFFIXES for suffix in (small, small.upper()))
        found = [path for path in candidates if path.exists()]
        if not found:
            raise ReadingError(MISSING_PRIOR, f"no map {output}.png, nor with another suffix, in {self.folder}")
        if len(found) > 1:
            raise ReadingError(AMBIGUOUS_PRIOR, f"{found[0]} and {found[1].name}: which one is meant?")
        return found[0]


def prior_fingerprint(folder: str) -> str:
    """Return a digest of the paths and sizes of the maps in a folder: a resumed run must find the same."""
    return fingerprint_now(Sources((folder,), "files").stream())
