"""How maps are refined and masks are made, as plain values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from ...errors import UnseeError

Segment = Literal["none", "jaccard", "saliencycut"]
Refine = Literal["none", "ultrametric", "random-walker", "bilateral"]


@dataclass(frozen=True)
class SegmentConfig:
    """How maps are refined and masks are made.

    segment: jaccard takes the proposal that fits the refined map best, saliencycut cuts by GrabCut. refine: replaces the
    finished map by the mean of `runs` segmentations from `points` random seeds each, or by one that follows the image's
    edges (bilateral); `jaccard` refines in any case, by default ultrametrically. threshold: of the refined map. dark_share:
    quantile that background seeds come from. proposals: folder of proposals, our own where None; most_proposals of them are
    tried. seed: of the random seeds.
    """

    segment: Annotated[Segment, "write a binary mask beside each map"] = "none"
    refine: Annotated[
        Refine,
        "segment from random seeds and take the mean, or follow the image's edges (bilateral)",
    ] = "none"
    runs: int = 100
    points: int = 50
    dark_share: float = 0.3
    threshold: float = 0.5
    proposals: Annotated[str | None, "folder of proposals for --segment jaccard: OUTPUT/*.png or OUTPUT.mat"] = None
    most_proposals: int = 50
    segments: int = 100
    compactness: float = 10.0
    seed: Annotated[int, "of the random seeds of --refine and --segment"] = 0

    def __post_init__(self) -> None:
        if self.segment not in get_args(Segment) or self.refine not in get_args(Refine):
            raise UnseeError(f"segment must be one of {get_args(Segment)}, refine one of {get_args(Refine)}")
        if min(self.runs, self.points, self.most_proposals, self.segments) < 1 or not 0 < self.dark_share < 1:
            raise UnseeError("runs, points, proposals and segments must be at least 1, dark_share between 0 and 1")
        if self.proposals is not None and self.segment != "jaccard":
            raise UnseeError("proposals are what --segment jaccard chooses from: add it, or leave --proposals out")
        if self.proposals is not None and not Path(self.proposals).is_dir():
            raise UnseeError(f"{self.proposals}: no such folder of proposals")
        if self.seed < 0:
            raise UnseeError(f"seed must be at least 0, got {self.seed}")
