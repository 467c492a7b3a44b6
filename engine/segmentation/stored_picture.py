"""What of a finished image is stored: its map, a mask, the object cut out, or the photograph cropped to it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..decoding.decoded_image import DecodingConfig
from ..decoding.decoding import whole_image
from ..methods.detection import Detection
from .objects import Box, level_of, widened
from .picture_config import PictureConfig


@dataclass(frozen=True)
class Picture:
    """A finished image, on its way to a sink.

    width, height: of the image. box: of its object. data: the image's file, where `needs_photograph`.
    """

    detection: Detection
    width: int
    height: int
    config: PictureConfig
    box: Box | None = None
    data: bytes | None = None
    decoding: DecodingConfig | None = None

    def pixels(self) -> np.ndarray:
        """Return the picture that is stored: uint8 [H,W] of a map or mask, [H,W,4] of a cut-out, [h,w,3] of a crop."""
        kind = self.config.output_kind
        if kind == "map":
            return self.detection.resized(self.width, self.height)
        if kind == "mask":
            return self.object_mask()
        assert self.data is not None and self.decoding is not None
        with whole_image(self.data, self.decoding) as photograph:
            return np.asarray(self._cropped(photograph) if kind == "crop" else self._cut_out(photograph))

    def mask(self) -> np.ndarray | None:
        """Return the segmented mask, uint8 [H,W], None where nothing was segmented."""
        return self.detection.resized_mask(self.width, self.height)

    def object_mask(self) -> np.ndarray:
        """Return the object at the image's size, uint8 [H,W], 0 and 255."""
        mask = self.mask()
        if mask is not None:
            return mask
        level = level_of(self.detection.saliency, self.config.threshold)
        return np.uint8(255) * (self.detection.resized(self.width, self.height) > level)

    def _cut_out(self, photograph: Image.Image) -> Image.Image:
        photograph = photograph.copy()
        photograph.putalpha(Image.fromarray(self.object_mask()))
        return photograph

    def _cropped(self, photograph: Image.Image) -> Image.Image:
        if self.box is None:
            return photograph
        left, top, width, height = widened(self.box, self.config.margin, self.width, self.height)
        return photograph.crop((left, top, left + width, top + height))
