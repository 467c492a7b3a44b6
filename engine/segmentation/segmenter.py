"""From a finished map to a refined one and to a binary mask (paper A, section 4; spec 1.6, 1.7)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...kernels.color import rgb_to_lab
from ...kernels.eight_bits import to_levels
from ...kernels.pooling import SuperpixelStatistics, paint, superpixel_statistics
from ...kernels.random_walker import walk_labels, walk_weights
from ...kernels.region_graph import color_distances, edge_costs, touching
from ...kernels.seeds import draw_seeds
from ...kernels.slic import slic_lab
from ...kernels.ultrametric import label_by_seeds, merge_trees
from ..cleanup.edge_refinement import edge_refined
from ..methods.detection import Detection, Failure, Images
from .objectness import objectness
from .proposals import ProposalsError, best_proposal, own_proposals, read_proposals
from .saliency_cut import load_opencv, saliency_cut
from .segment_config import SegmentConfig

LAB_EXTENT = 100.0
"""Lab units that the random walker's weights take as 1."""


@dataclass(frozen=True)
class Superpixels:
    """labels: int32 [B,H,W]. statistics: of the superpixels. graph: bool [B,n,n], which of them touch."""

    labels: np.ndarray
    statistics: SuperpixelStatistics
    graph: np.ndarray


def superpixels(images: np.ndarray, config: SegmentConfig) -> Superpixels:
    """Segment images, uint8 [B,H,W,3], into superpixels."""
    lab = rgb_to_lab(images)
    labels = slic_lab(lab, config.segments, config.compactness)
    return Superpixels(labels, superpixel_statistics(lab, labels), touching(labels))


def refined(maps: np.ndarray, regions: Superpixels, config: SegmentConfig) -> np.ndarray:
    """Return the mean of the binary segmentations from random seeds, float32 [B,H,W] in steps of 1 / runs (A 4).

    maps: float32 [B,H,W]. Each image is refined on its own; a zero map stays one.
    """
    seeds = draw_seeds(maps, regions.labels, config.runs, config.points, config.dark_share, config.seed)
    if config.refine == "random-walker":
        labelled = _walked(regions, *seeds)
    else:
        costs = edge_costs(color_distances(regions.statistics), regions.graph)
        labelled = label_by_seeds(merge_trees(costs), *seeds)
    return paint(labelled.mean(1, dtype=np.float32), regions.labels)


def _walked(regions: Superpixels, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    labelled = np.zeros(foreground.shape, bool)
    for place, count in enumerate(regions.statistics.count):
        color = regions.statistics.color[place, :count] / LAB_EXTENT
        weights = walk_weights(color, regions.graph[place, :count, :count])
        seeds = foreground[place, :, :count], background[place, :, :count]
        labelled[place, :, :count] = walk_labels(weights, *seeds)
    return labelled


class Segmenter:
    """Refines the maps of finished images and adds their masks."""

    def __init__(self, config: SegmentConfig) -> None:
        self.config = config
        if config.segment == "saliencycut":
            load_opencv()  # whose absence is told before anything is begun

    def segmented(
        self, found: Sequence[Detection | None], images: Images, names: Sequence[str]
    ) -> list[Detection | Failure | None]:
        """Return the detections of a batch, images uint8 [S,S,3] each, refined and with masks as the configuration says.

        names: of the images, by which their proposals are found. An image whose proposals are missing or damaged fails.
        """
        config = self.config
        result: list[Detection | Failure | None] = list(found)
        places = [place for place, detection in enumerate(found) if detection is not None]
        if not places or (config.segment, config.refine) == ("none", "none"):
            return result
        if not isinstance(images, np.ndarray):  # of different sizes
            triples = zip(found, images, names, strict=True)
            return [self.segmented([one], image[None], [name])[0] for one, image, name in triples]
        kept = [detection for detection in found if detection is not None]
        maps = np.stack([detection.saliency for detection in kept]).astype(np.float32) / 255
        done = self._one_batch(kept, maps, images[places], [names[place] for place in places])
        for place, detection in zip(places, done, strict=True):
            result[place] = detection
        return result

    def _one_batch(
        self, found: list[Detection], maps: np.ndarray, images: np.ndarray, names: list[str]
    ) -> Sequence[Detection | Failure]:
        config = self.config
        by_seeds = config.refine != "bilateral" and (config.refine != "none" or config.segment == "jaccard")
        regions = superpixels(images, config) if by_seeds or config.segment == "jaccard" else None
        if by_seeds and regions is not None:
            better = refined(maps, regions, config)
        else:
            better = edge_refined(maps, images) if config.refine == "bilateral" else maps
        if config.refine != "none":
            found = [_with_map(*parts) for parts in zip(found, better, images, strict=True)]
        if config.segment == "saliencycut":
            cut = [saliency_cut(image, one) for image, one in zip(images, better, strict=True)]
        elif regions is not None and config.segment == "jaccard":
            cut = self._chosen(better, regions, names)
        else:
            return found
        return [_with_mask(detection, mask) for detection, mask in zip(found, cut, strict=True)]

    def _chosen(self, maps: np.ndarray, regions: Superpixels, names: list[str]) -> list[np.ndarray | Failure]:
        """Masks bool [S,S] by best Jaccard index."""
        chosen: list[np.ndarray | Failure] = []
        for one, proposals in zip(maps, self._proposals(regions, names), strict=True):
            if isinstance(proposals, Failure):
                chosen.append(proposals)
            else:
                chosen.append(best_proposal(one > self.config.threshold, proposals))
        return chosen

    def _proposals(self, regions: Superpixels, names: list[str]) -> Sequence[np.ndarray | Failure]:
        """Proposals bool [k,S,S] of each image."""
        config = self.config
        if config.proposals is None:
            return own_proposals(regions.labels, regions.statistics, config.most_proposals)
        _, height, width = regions.labels.shape
        shape, folder = (height, width), Path(config.proposals)
        return [_given_proposals(folder, name, shape, config.most_proposals) for name in names]


def _given_proposals(folder: Path, name: str, shape: tuple[int, int], most: int) -> np.ndarray | Failure:
    try:
        return read_proposals(folder, name, shape, most)
    except ProposalsError as error:
        return Failure("failed_to_segment", error.code, str(error))


def _with_map(detection: Detection, refined_map: np.ndarray, image: np.ndarray) -> Detection:
    levels = to_levels(refined_map)
    return replace(detection, saliency=levels, objectness=objectness(levels, image))


def _with_mask(detection: Detection, mask: np.ndarray | Failure) -> Detection | Failure:
    """Add a mask; that of a map of zeros is empty."""
    return mask if isinstance(mask, Failure) else replace(detection, mask=mask & detection.saliency.any())
