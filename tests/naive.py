"""Slow, plain twins of the fast paths: one image at a time, no tricks. Append only; several test files share them."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np

ACHANTA = (
    ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)),
    (0.950456, 1.0, 1.088754),
    903.3,
)
SCIKIT_IMAGE = (
    ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)),
    (0.95047, 1.0, 1.08883),
    7.787 * 116,
)


def rgb_to_lab(image, constants=ACHANTA):
    matrix, white, slope = constants
    level = image / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    ratio = linear @ np.array(matrix).T / np.array(white)
    x, y, z = np.moveaxis(np.where(ratio > 0.008856, np.cbrt(ratio), (slope * ratio + 16) / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def slic(lab, seeds, step, compactness, smallest, iterations=10):
    """Every pixel against every centre, in integers (1/64 Lab unit, 1/16 pixel), then connectivity by flood fill."""
    height, width, _ = lab.shape
    known = np.where(abs(lab) <= 110, lab, 0).astype(np.float32)
    color = (known * np.float32(64) + np.float32(8192.5)).astype(np.int64) - 8192
    rows, columns = np.mgrid[:height, :width] * 16
    features = np.stack([*np.moveaxis(color, -1, 0), rows, columns])
    weight = np.float32((compactness / step * 64 / 16) ** 2)
    centers = np.array([features[:, row, column] for row, column in seeds])
    for _ in range(iterations):
        nearest, labels = np.full((height, width), 10**9), np.full((height, width), -1)
        for index, center in enumerate(centers):
            away = features - center[:, None, None]
            places = ((away[3:] ** 2).astype(np.float32) * weight).clip(max=2e8).astype(int)
            distance = (away[:3] ** 2).sum(0) + places.sum(0)
            inside = (abs(rows // 16 - (center[3] + 8) // 16) <= step) & (
                abs(columns // 16 - (center[4] + 8) // 16) <= step
            )
            nearer = inside & (distance < nearest)
            nearest[nearer], labels[nearer] = distance[nearer], index
        for index in range(len(centers)):
            members = labels == index
            if members.any():
                centers[index] = np.floor(features[:, members].mean(1) + 0.5)
    return connect(labels, smallest)


def connect(labels, smallest):
    """Achanta's flood fill: a small component takes the label last seen beside its first pixel."""
    height, width = labels.shape
    final = np.full(labels.shape, -1)
    label = 0
    for row, column in np.ndindex(labels.shape):
        if final[row, column] >= 0:
            continue
        beside = 0
        for y, x in ((row, column - 1), (row - 1, column), (row, column + 1), (row + 1, column)):
            if 0 <= y < height and 0 <= x < width and final[y, x] >= 0:
                beside = final[y, x]
        component = flood(labels, row, column)
        small = len(component) <= smallest
        for pixel in component:
            final[pixel] = beside if small else label
        label += not small
    return final


def flood(labels, row, column):
    """Pixels 4-connected to one pixel with its label."""
    seen, waiting = {(row, column)}, [(row, column)]
    while waiting:
        y, x = waiting.pop()
        for pixel in ((y, x - 1), (y - 1, x), (y, x + 1), (y + 1, x)):
            inside = 0 <= pixel[0] < labels.shape[0] and 0 <= pixel[1] < labels.shape[1]
            if inside and pixel not in seen and labels[pixel] == labels[row, column]:
                seen.add(pixel)
                waiting.append(pixel)
    return seen


def superpixel_mean(saliency, labels):
    saliency, mean = np.nan_to_num(saliency).astype(float), np.empty(saliency.shape)
    for label in np.unique(labels):
        mean[labels == label] = saliency[labels == label].mean()
    return mean


def min_max(values):
    spread = np.max(values) - np.min(values)
    return (values - np.min(values)) / spread if spread else np.zeros_like(values)


def color_distances(color):
    return np.sqrt(((color[:, None].astype(float) - color[None].astype(float)) ** 2).sum(-1))


def global_contrast(color):
    return color_distances(color).sum(1)


def smooth_in_color_space(color, values):
    distances = color_distances(color)
    members = max(round(len(values) / 4), 2)
    smoothed = []
    for row in distances:
        near = np.argsort(row, kind="stable")[:members]
        total = row[near].sum()
        if total == 0:
            smoothed.append(values[near].mean())
        else:
            smoothed.append(((total - row[near]) * values[near]).sum() / ((members - 1) * total))
    return np.array(smoothed)


def color_distribution(color, position, sigma=20.0):
    weights = np.exp(-(color_distances(color) ** 2) / (2 * sigma**2))
    weights /= weights.sum(1, keepdims=True)
    center = weights @ position
    return (weights * ((position[None] - center[:, None]) ** 2).sum(-1)).sum(1)


def low_level_map(color, position, k=6.0, sigma=20.0):
    contrast = min_max(smooth_in_color_space(color, min_max(global_contrast(color))))
    return min_max(contrast * np.exp(-k * min_max(color_distribution(color, position, sigma))))


def otsu_level(saliency):
    """MATLAB's graythresh, formula by formula."""
    if saliency.max() <= 0:
        return 0.0
    bins = np.floor(255 * np.clip(saliency.astype(float) / float(saliency.max()), 0, 1) + 0.5).astype(int)
    share = np.bincount(bins.ravel(), minlength=256) / bins.size
    omega, mu = np.cumsum(share), np.cumsum(share * np.arange(1, 257))
    inside = (omega > 0) & (omega < 1 - 1e-12)
    variance = np.zeros(256)
    variance[inside] = (mu[-1] * omega[inside] - mu[inside]) ** 2 / (omega[inside] * (1 - omega[inside]))
    return np.flatnonzero(variance >= variance.max() * (1 - 1e-12)).mean() / 255 if variance.max() > 0 else 0.0


def dilate(saliency, offsets):
    height, width = saliency.shape
    widened = np.empty_like(saliency)
    for row, column in np.ndindex(saliency.shape):
        inside = [(row + y, column + x) for y, x in offsets if 0 <= row + y < height and 0 <= column + x < width]
        widened[row, column] = max(saliency[pixel] for pixel in inside)
    return widened


def disk(radius):
    reach = range(-radius, radius + 1)
    return [(y, x) for y in reach for x in reach if math.hypot(y, x) <= radius]


def square(radius):
    reach = range(-radius, radius + 1)
    return [(y, x) for y in reach for x in reach]


def joint_histogram(saliency, mask, foreground_above=128):
    """Levels outside and inside of a mask, counted one by one."""
    counts = np.zeros((2, 256), int)
    for level, inside in zip(saliency.ravel(), mask.ravel() > foreground_above, strict=True):
        counts[int(inside), level] += 1
    return counts


def threshold_curves(saliency, mask, thresholds):
    """Precision, recall and F (b2 = 0.3) of `saliency >= t`, one threshold at a time; 0 for 0 / 0."""
    precision, recall, f_measure = [], [], []
    for threshold in thresholds:
        chosen = saliency >= threshold
        hits = (chosen & mask).sum()
        precision.append(hits / chosen.sum() if chosen.any() else 0.0)
        recall.append(hits / mask.sum() if mask.any() else 0.0)
        both = 0.3 * precision[-1] + recall[-1]
        f_measure.append(1.3 * precision[-1] * recall[-1] / both if both else 0.0)
    return np.array(precision), np.array(recall), np.array(f_measure)


def weighted_errors(values, mask):
    """Sums of weighted errors inside and outside of a mask; every pixel against every mask pixel."""
    rows, columns = np.nonzero(mask)
    errors = abs(values - mask)
    carried, importance = errors.copy(), np.ones(mask.shape)
    for row, column in np.argwhere(~mask):
        distance = (rows - row) ** 2 + (columns - column) ** 2
        ties = np.flatnonzero(distance == distance.min())
        nearest = min(ties, key=lambda index: (columns[index], rows[index]))
        carried[row, column] = errors[rows[nearest], columns[nearest]]
        importance[row, column] = 2 - math.exp(math.log(0.5) / 5 * math.sqrt(distance[nearest]))
    offsets = np.arange(-3, 4)
    taps = np.exp(-(offsets[:, None] ** 2 + offsets**2) / 50)
    taps /= taps.sum()
    padded = np.pad(carried, 3)
    blurred = sum(taps[y, x] * padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(7) for x in range(7))
    inside = np.minimum(errors, blurred)[mask].sum()
    return inside, (errors * importance)[~mask].sum(), mask.sum()


def minimax_costs(costs, seeds):
    """Smallest largest edge of a path from any seed to each node (Floyd, with max for plus)."""
    paths = costs.copy()
    np.fill_diagonal(paths, -np.inf)
    for via in range(len(paths)):
        paths = np.minimum(paths, np.maximum(paths[:, [via]], paths[[via], :]))
    return paths[:, seeds].min(1) if seeds.any() else np.full(len(paths), np.inf)


def shortest_paths(costs):
    """Every path of up to n edges, edge by edge."""
    paths = costs.copy()
    np.fill_diagonal(paths, 0)
    for _ in costs:
        paths = (paths[:, :, None] + paths[None]).min(1)
    return paths


def touching(labels):
    graph = np.zeros((labels.max() + 1,) * 2, bool)
    for row, column in np.ndindex(labels.shape):
        for y, x in ((row + 1, column), (row, column + 1)):
            if y < labels.shape[0] and x < labels.shape[1] and labels[y, x] != labels[row, column]:
                graph[labels[y, x], labels[row, column]] = graph[labels[row, column], labels[y, x]] = True
    return graph


def felzenszwalb(lab, scale, min_size):
    """Sets of pixels, joined edge by edge; lengths in 1/128 Lab unit, labels in raster order."""
    height, width, _ = lab.shape
    lengths = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for row, column in np.ndindex(height, width):
            y, x = row + down, column + right
            if y < height and 0 <= x < width:
                squares = ((lab[row, column] - lab[y, x]).astype(float) ** 2).sum()
                lengths.append((round(128 * math.sqrt(squares)), (row, column), (y, x)))
    order = sorted(lengths, key=lambda edge: edge[0])
    region = {pixel: frozenset([pixel]) for pixel in np.ndindex(height, width)}
    longest = dict.fromkeys(region.values(), 0)

    def join(one, other, length):
        union = one | other
        longest[union] = length
        region.update(dict.fromkeys(union, union))

    for length, start, end in order:
        one, other = region[start], region[end]
        limit = min(longest[part] + 128 * scale / len(part) for part in (one, other))
        if one is not other and length <= limit:
            join(one, other, length)
    for length, start, end in order:
        one, other = region[start], region[end]
        if one is not other and min(len(one), len(other)) < min_size:
            join(one, other, length)
    names = {}
    return np.array(
        [[names.setdefault(region[row, column], len(names)) for column in range(width)] for row in range(height)]
    )


def ward_hierarchy(color, size, graph):
    """Regions as sets of superpixels in the order of their joining."""
    parts = [frozenset([place]) for place in range(len(size)) if size[place]]
    joins = []

    def mean(part):
        weights = size[sorted(part)]
        return (color[sorted(part)] * weights[:, None]).sum(0) / weights.sum(), weights.sum()

    def cost(one, other):
        (first, n), (second, m) = mean(one), mean(other)
        return ((first - second) ** 2).sum() * n * m / (n + m)

    while True:
        pairs = [
            (cost(one, other), one, other)
            for place, one in enumerate(parts)
            for other in parts[place + 1 :]
            if any(graph[a, b] for a in one for b in other)
        ]
        if not pairs:
            return joins
        _, one, other = min(pairs, key=lambda pair: pair[0])
        parts = [part for part in parts if part not in (one, other)] + [one | other]
        joins.append(one | other)


def background_weight(color, graph, border):
    """1 - exp(-BndCon^2 / 2) of superpixels, one after the other (Zhu et al. 2014, equations 2 to 6)."""
    distances = color_distances(color)
    count = len(color)
    clip = np.mean([min(distances[i, j] for j in range(count) if j != i) for i in range(count)])
    paths = shortest_paths(np.where(graph, np.maximum(distances - clip, 0), np.inf))
    weights = []
    for i in range(count):
        similar = np.exp(-(paths[i] ** 2) / (2 * 7.0**2))
        weights.append(1 - math.exp(-((similar[border].sum() / math.sqrt(similar.sum())) ** 2) / 2))
    return np.array(weights)


def background_optimum(color, graph, border, foreground, background, floor):
    """The saliency of superpixels at the least cost (Zhu et al. 2014, equation 9): its gradient is zero."""
    distances, count = color_distances(color), len(color)
    system = np.diag(foreground + background + 1e-6)
    for i in range(count):
        for j in range(count):
            second = any(graph[i, via] and graph[via, j] for via in range(count))
            if i != j and (graph[i, j] or second or (border[i] and border[j])):
                weight = math.exp(-(distances[i, j] ** 2) / (2 * 10.0**2)) + floor
                system[i, i] += weight
                system[i, j] -= weight
    return np.linalg.solve(system, foreground)


def saliency_filter(color, position):
    """Uniqueness times compactness (Perazzi et al. 2012) with normalised Gaussians."""
    uniqueness = []
    for i in range(len(color)):
        near = np.exp(-((position - position[i]) ** 2).sum(1) / (2 * 0.25**2))
        uniqueness.append((near / near.sum() * ((color - color[i]) ** 2).sum(1)).sum())
    return min_max(min_max(np.array(uniqueness)) * np.exp(-6 * min_max(color_distribution(color, position))))


def fingerprint(members):
    """The sum of sha256 of each input's place and size, asked for one by one."""
    total = 0
    for member in members:
        size = Path(member.path).stat().st_size if Path(member.path).exists() else -1
        total += int.from_bytes(hashlib.sha256(os.fsencode(f"{member.place}\0{size}")).digest(), "little")
    return f"{total % 2**256:064x}"
