"""A frozen backbone's features of photographs and of their mirror images, computed once and kept on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..networks.maps.mappers import PixelMapper
from .made_marks import made, mark_made
from .stored_arrays import new_array

COMPUTED_TOGETHER = 16
DONE_FILE = "features.json"
"""Says which features are complete."""
KEPT_AS = np.float16

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Features:
    """Feature maps of P photographs, finest first: float16 [P,H,W,C] each, memory-mapped. mirrored: of the mirror images."""

    plain: tuple[np.ndarray, ...]
    mirrored: tuple[np.ndarray, ...]

    def of(self, numbers: np.ndarray, mirrored: bool) -> list[Tensor]:
        """Return the feature maps of some photographs, float [B,C,H,W]."""
        levels = self.mirrored if mirrored else self.plain
        return [torch.from_numpy(level[numbers]).permute(0, 3, 1, 2).float() for level in levels]


def feature_bytes(mapper: PixelMapper, photographs: int) -> int:
    """Return what the features of so many photographs and of their mirror images take."""
    cells = sum(height * width * channels for height, width, channels in _shapes(mapper))
    return 2 * photographs * cells * np.dtype(KEPT_AS).itemsize


def cached_features(folder: Path, mapper: PixelMapper, pixels: np.ndarray, digest: str, advance: Advance) -> Features:
    """Return the features of photographs, uint8 [P,S,S,3], computed into `folder` unless they lie there.

    digest: of what they are made from. advance: told how many images more are done, of twice the photographs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / DONE_FILE
    if not made(done, digest):
        done.unlink(missing_ok=True)
        for mirrored in (False, True):
            _compute(folder, mapper, pixels, mirrored, advance)
        mark_made(done, digest)
    plain, mirror = (
        tuple(np.load(_file(folder, level, mirrored), mmap_mode="r") for level in range(len(_shapes(mapper))))
        for mirrored in (False, True)
    )
    return Features(plain, mirror)


@torch.no_grad()
def _compute(folder: Path, mapper: PixelMapper, pixels: np.ndarray, mirrored: bool, advance: Advance) -> None:
    device = mapper.preprocess.mean.device
    kept = [
        new_array(_file(folder, level, mirrored), KEPT_AS, (len(pixels), *shape))
        for level, shape in enumerate(_shapes(mapper))
    ]
    for start in range(0, len(pixels), COMPUTED_TOGETHER):
        part = slice(start, start + COMPUTED_TOGETHER)
        images = torch.from_numpy(np.array(pixels[part])).to(device).permute(0, 3, 1, 2).float()
        found = mapper.network.backbone(mapper.preprocess(images.flip(3) if mirrored else images))
        for values, level in zip(kept, found, strict=True):
            values[part] = level.permute(0, 2, 3, 1).cpu().numpy()
        advance(len(images))
    for values in kept:
        values.flush()


def _shapes(mapper: PixelMapper) -> list[tuple[int, int, int]]:
    """Return height, width and channels of every level."""
    side = mapper.metadata.input.size
    taps = mapper.network.backbone.taps
    return [(side // stride, side // stride, channels) for channels, stride in taps]


def _file(folder: Path, level: int, mirrored: bool) -> Path:
    return folder / f"{'mirrored' if mirrored else 'plain'}-{level}.npy"
