"""SLIC superpixels of batches of images (spec 2.6; Achanta et al., PAMI 2012).

Colours, places and centres are integers in fixed point. Sums are then exact in any order and no product is rounded
differently where a compiler fuses it with a sum: CPU and GPU agree bit for bit, and the loop over a window vectorises.
"""

import math
from typing import Any

import numpy as np

from ..errors import UnseeError
from .checks import check_lab
from .color import rgb_to_lab
from .connectivity import enforce_connectivity
from .device import empty, filled, handed_back, is_cuda, launch, launch_grid, on_device, pixel_of, row_of
from .parallel import compiled, over_images
from .workspace import constant

cuda: Any = None  # bound by launch: a CPU needs no CUDA

ITERATIONS = 10

# Fixed point: squared distances fit 31 bits, those of pixels outside a window included.
COLOUR_STEPS = 64  # to 1/64 Lab unit
COLOUR_LIMIT = np.float32(110)  # no Lab coordinate of an sRGB colour is larger
COLOUR_SHIFT = 8192  # makes colours positive, so that truncation rounds
PLACE_STEPS = 16  # to 1/16 pixel
PLACE_LIMIT = np.float32(2e8)  # along one axis; reached from a compactness of about 200 on
OUTSIDE = np.int32(1_000_000_000)  # the place of pixels outside a window, and the distance where there is no centre yet
LARGEST_STEP = 2000
STRIP = 16  # columns that are worked on together, in whole vectors
RUN = 16  # pixels of a column that one CUDA thread sums before it touches the sums of all
TILE = 16  # side of the pixels that a CUDA block assigns, with one thread each; at most 16

# Components up to this share of the mean superpixel join a neighbour. scikit-image takes 1/2, which leaves 72
# superpixels of 100 there and 78 here on photographs (its windows are wider); Achanta's code takes 1/4, which leaves
# 100 and gives better saliency maps.
SMALLEST_SHARE = 0.5


def slic(
    images: np.ndarray, segments: int = 100, compactness: float = 10.0, smallest_share: float = SMALLEST_SHARE
) -> np.ndarray:
    """Segment sRGB images into about `segments` connected superpixels.

    images: uint8 [B, H, W, 3], in memory or on a CUDA device; the result lies where they lie. Returns int32 [B, H, W]:
    labels 0..n-1 of each image, in raster order of their first pixel. compactness: Lab units that weigh as much as one
    grid step. smallest_share: components of at most this share of the mean superpixel are merged into a neighbour
    (Achanta's code: 0.25). Raises UnseeError for parameters out of range, ValueError for another shape or dtype.
    """
    return slic_lab(rgb_to_lab(images), segments, compactness, smallest_share)


def slic_lab(
    lab: np.ndarray, segments: int = 100, compactness: float = 10.0, smallest_share: float = SMALLEST_SHARE
) -> np.ndarray:
    """Segment Lab images, float [B, H, W, 3], as `slic` does; values that are not finite count as 0."""
    check_parameters(segments, compactness, smallest_share)
    if is_cuda(lab):
        return _slic_cuda(lab, segments, compactness, smallest_share)
    lab = check_lab(lab)
    labels = np.empty(lab.shape[:3], np.int32)
    if labels.size:
        seeds, step, weight, smallest = _plan(labels.shape, segments, compactness, smallest_share)
        over_images(_cluster_loop, lab, labels, constants=(seeds, step, weight))
        enforce_connectivity(labels, smallest)
    return labels


def _plan(
    shape: tuple[int, ...], segments: int, compactness: float, smallest_share: float
) -> tuple[np.ndarray, int, np.float32, int]:
    """Seeds, step, weight of the place in fixed point, and the size up to which components are merged."""
    _, height, width = shape
    seeds, step = grid_seeds(height, width, segments)
    if step > LARGEST_STEP:
        raise UnseeError(f"superpixels of {step} pixels are too large: ask for more than {segments} segments")
    weight = np.float32((compactness / step * COLOUR_STEPS / PLACE_STEPS) ** 2)
    return seeds, step, weight, int(height * width / segments * smallest_share)


def _slic_cuda(source: Any, segments: int, compactness: float, smallest_share: float) -> Any:
    lab = on_device("Lab images", source, np.float32, (None, None, None, 3))
    labels = empty(lab.shape[:3], np.int32)
    if labels.size:
        seeds, step, weight, smallest = _plan(labels.shape, segments, compactness, smallest_share)
        _cluster_cuda(lab, labels, constant(seeds), step, weight)
        enforce_connectivity(labels, smallest)
    return handed_back(labels, source)


def _cluster_cuda(lab: Any, labels: Any, seeds: Any, step: int, weight: np.float32) -> None:
    count, height, width = labels.shape
    clusters = count * len(seeds)
    planes, centers = empty((count, 3, height, width), np.int32), empty((count, len(seeds), 5), np.int32)
    sums = filled((count, len(seeds), 6), np.int64, 0)
    tiles = count, (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    launch(_fix_kernel, labels.size, lab, planes)
    launch(_place_kernel, clusters, planes, seeds, centers)
    launch_grid(_assign_kernel, tiles, (TILE, TILE), planes, centers, step, weight, labels)
    for _ in range(ITERATIONS - 1):
        launch(_sum_kernel, count * ((height + RUN - 1) // RUN) * width, planes, labels, sums)
        launch(_move_kernel, clusters, sums, centers)
        launch_grid(_assign_kernel, tiles, (TILE, TILE), planes, centers, step, weight, labels)


def check_parameters(segments: int, compactness: float, smallest_share: float) -> None:
    """Refuse parameters that mean nothing."""
    if segments < 1:
        raise UnseeError(f"superpixels: at least 1 segment is needed, got {segments}")
    if not 0 < compactness < math.inf:
        raise UnseeError(f"superpixels: compactness must be positive, got {compactness}")
    if not 0 <= smallest_share < 1:
        raise UnseeError(f"superpixels: the smallest share must lie in 0..1, got {smallest_share}")


def grid_seeds(height: int, width: int, segments: int) -> tuple[np.ndarray, int]:
    """Rows and columns of the seeds, int32 [K, 2], on a regular grid, and the grid step in pixels."""
    step = max(int(math.sqrt(height * width / segments) + 0.5), 1)
    rows = min(max(int(height / step + 0.5), 1), segments)
    columns = min(max(int(width / step + 0.5), 1), segments)
    row = ((np.arange(rows) + 0.5) * height / rows).astype(np.int32)
    column = ((np.arange(columns) + 0.5) * width / columns).astype(np.int32)
    seeds = np.stack(np.meshgrid(row, column, indexing="ij"), axis=-1).reshape(-1, 2)
    return seeds, max(step, height // rows, width // columns)  # in a narrow image the seeds lie further apart


@compiled
def _cluster_loop(lab: np.ndarray, labels: np.ndarray, seeds: np.ndarray, step: int, weight: np.float32) -> None:
    """Images are worked on in strips of STRIP columns, row below row: what a window has of a strip is one long run."""
    count, height, width = labels.shape
    strips = (width + STRIP - 1) // STRIP
    planes = np.zeros((3, strips, height * STRIP), np.int16)
    distances, chosen = np.empty(planes.shape[1:], np.int32), np.empty(planes.shape[1:], np.int32)
    centers = np.empty((len(seeds), 5), np.int32)
    for image in range(count):
        _fix_colours(lab[image], planes)
        _place_centers(planes, seeds, centers)
        _assign(planes, centers, step, weight, width, distances, chosen)
        for _ in range(ITERATIONS - 1):
            _update(planes, chosen, step, width, centers)
            _assign(planes, centers, step, weight, width, distances, chosen)
        _leave_strips(chosen, labels[image])


@compiled
def fixed_colour(value: np.float32) -> np.int32:
    """A Lab coordinate in fixed point; 0 where it is not a number or larger than any."""
    known = value if abs(value) <= COLOUR_LIMIT else np.float32(0)
    return np.int32(known * np.float32(COLOUR_STEPS) + np.float32(COLOUR_SHIFT + 0.5)) - np.int32(COLOUR_SHIFT)


@compiled
def fixed_place(distance: int, weight: np.float32) -> np.int32:
    """Squared distance along one axis, in fixed point, in units of squared colour distances."""
    return np.int32(min(np.float32(np.int32(distance * distance)) * weight, PLACE_LIMIT))


@compiled
def fixed_distance(lightness: int, a: int, b: int, place: int) -> np.int32:
    """Squared distance from the differences in colour and the sum of both axes' `fixed_place`."""
    return np.int32(lightness * lightness + a * a + b * b + place)


@compiled
def window(center: int, step: int, limit: int) -> tuple[int, int]:
    """First pixel and end of a centre's search window along one axis."""
    nearest = (center + PLACE_STEPS // 2) // PLACE_STEPS
    return max(nearest - step, 0), min(nearest + step + 1, limit)


@compiled
def _in_window(place: int, center: int, step: int) -> bool:
    """Whether a pixel of the image lies in a centre's window along one axis."""
    return bool(abs(np.int32(place - (center + PLACE_STEPS // 2) // PLACE_STEPS)) <= step)


@compiled
def fixed_mean(total: int, count: int) -> int:
    """total / count, rounded half up."""
    return (2 * total + count) // (2 * count)


@compiled
def _fix_colours(lab: np.ndarray, planes: np.ndarray) -> None:
    height, width, _ = lab.shape
    for row in range(height):
        for column in range(width):
            for channel in range(3):
                value = fixed_colour(lab[row, column, channel])
                planes[channel, column // STRIP, row * STRIP + column % STRIP] = value


@compiled
def _place_centers(planes: np.ndarray, seeds: np.ndarray, centers: np.ndarray) -> None:
    for index in range(len(seeds)):
        row, column = seeds[index]
        for channel in range(3):
            centers[index, channel] = planes[channel, column // STRIP, row * STRIP + column % STRIP]
        centers[index, 3], centers[index, 4] = row * PLACE_STEPS, column * PLACE_STEPS


@compiled
def _leave_strips(chosen: np.ndarray, labels: np.ndarray) -> None:
    height, width = labels.shape
    for row in range(height):
        for column in range(width):
            labels[row, column] = chosen[column // STRIP, row * STRIP + column % STRIP]


@compiled
def strips_of(left: int, right: int) -> tuple[int, int]:
    """First strip and end of those that columns lie in."""
    return left // STRIP, (right + STRIP - 1) // STRIP


@compiled
def _assign(
    planes: np.ndarray,
    centers: np.ndarray,
    step: int,
    weight: float,
    width: int,
    distances: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Give each pixel the nearest centre whose window holds it, of equally near ones the first; -1 where there is none."""
    height = distances.shape[1] // STRIP
    down = np.empty(2 * step + 1, np.int32)
    across = np.empty(2 * (step + STRIP), np.int32)
    distances[:] = OUTSIDE
    chosen[:] = -1
    for index in range(len(centers)):
        center = centers[index]
        top, bottom = window(center[3], step, height)
        left, right = window(center[4], step, width)
        first, end = strips_of(left, right)
        for row in range(top, bottom):
            down[row - top] = fixed_place(row * PLACE_STEPS - center[3], weight)
        for column in range(first * STRIP, end * STRIP):
            inside = left <= column < right
            place = fixed_place(column * PLACE_STEPS - center[4], weight) if inside else OUTSIDE
            across[column - first * STRIP] = place
        color = np.int16(center[0]), np.int16(center[1]), np.int16(center[2])
        start, stop = top * STRIP, bottom * STRIP
        for strip in range(first, end):
            lanes = across[(strip - first) * STRIP : (strip - first + 1) * STRIP]
            run = planes[0, strip, start:stop], planes[1, strip, start:stop], planes[2, strip, start:stop]
            _offer(run, color, down, lanes, np.int32(index), distances[strip, start:stop], chosen[strip, start:stop])


@compiled
def _offer(
    run: tuple[np.ndarray, np.ndarray, np.ndarray],
    color: tuple[int, int, int],
    down: np.ndarray,
    across: np.ndarray,
    index: int,
    nearest: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Offer a centre to its pixels of one strip: 16-bit differences, and selects, not branches, which vectorise."""
    run_l, run_a, run_b = run
    lightness, a, b = color
    for row in range(len(run_l) // STRIP):
        row_place = down[row]
        for lane in range(STRIP):
            pixel = row * STRIP + lane
            distance = fixed_distance(
                np.int32(np.int16(run_l[pixel] - lightness)),
                np.int32(np.int16(run_a[pixel] - a)),
                np.int32(np.int16(run_b[pixel] - b)),
                np.int32(row_place + across[lane]),
            )
            nearer = distance < nearest[pixel]
            nearest[pixel] = distance if nearer else nearest[pixel]
            chosen[pixel] = index if nearer else chosen[pixel]


@compiled
def _update(planes: np.ndarray, chosen: np.ndarray, step: int, width: int, centers: np.ndarray) -> None:
    """Move each centre to the mean of its pixels, all of which lie in its window; a centre without pixels stays."""
    height = chosen.shape[1] // STRIP
    sums = np.empty(6, np.int64)
    for index in range(len(centers)):
        top, bottom = window(centers[index, 3], step, height)
        first, end = strips_of(*window(centers[index, 4], step, width))
        start, stop = top * STRIP, bottom * STRIP
        sums[:] = 0
        for strip in range(first, end):
            run = planes[0, strip, start:stop], planes[1, strip, start:stop], planes[2, strip, start:stop]
            _add_strip(run, chosen[strip, start:stop], np.int32(index), top, strip * STRIP, sums)
        if sums[5] > 0:
            for feature in range(5):
                centers[index, feature] = fixed_mean(sums[feature], sums[5])


@compiled
def _add_strip(
    run: tuple[np.ndarray, np.ndarray, np.ndarray],
    chosen: np.ndarray,
    index: int,
    top: int,
    left: int,
    sums: np.ndarray,
) -> None:
    """Add a centre's pixels of one strip to the sums of L, a, b, row, column and count.

    Reading all of a window without branches is faster than following runs of labels, whose ends cannot be predicted.
    """
    run_l, run_a, run_b = run
    lightness = a = b = places = lanes = count = np.int32(0)
    for pixel in range(len(chosen)):
        own = np.int32(-1) if chosen[pixel] == index else np.int32(0)
        lightness = np.int32(lightness + (np.int32(run_l[pixel]) & own))
        a = np.int32(a + (np.int32(run_a[pixel]) & own))
        b = np.int32(b + (np.int32(run_b[pixel]) & own))
        places = np.int32(places + (np.int32(pixel) & own))
        lanes = np.int32(lanes + (np.int32(pixel % STRIP) & own))
        count = np.int32(count - own)
    sums[0] += lightness
    sums[1] += a
    sums[2] += b
    sums[3] += PLACE_STEPS * ((places - lanes) // STRIP + top * np.int64(count))
    sums[4] += PLACE_STEPS * (lanes + left * np.int64(count))
    sums[5] += count


def _fix_kernel(lab: Any, planes: Any) -> None:
    index = cuda.grid(1)
    count, height, width, _ = lab.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        for channel in range(3):
            planes[image, channel, row, column] = fixed_colour(lab[image, row, column, channel])


def _place_kernel(planes: Any, seeds: Any, centers: Any) -> None:
    index = cuda.grid(1)
    count, clusters, _ = centers.shape
    if index < count * clusters:
        image, cluster = row_of(index, clusters)
        row, column = seeds[cluster, 0], seeds[cluster, 1]
        for channel in range(3):
            centers[image, cluster, channel] = planes[image, channel, row, column]
        centers[image, cluster, 3], centers[image, cluster, 4] = row * PLACE_STEPS, column * PLACE_STEPS


def _assign_kernel(planes: Any, centers: Any, step: int, weight: np.float32, labels: Any) -> None:
    """A block assigns a tile of an image, a thread a pixel; as `_assign`, with the centres near the tile in shared memory.

    Each thread looks at one centre of a chunk and keeps it if its window meets the tile: about nine of them do. They come
    in any order, so that of equally near ones the first is looked for.
    """
    near = cuda.shared.array((256, 6), np.int32)  # colour, place and number of each; TILE * TILE at most
    found = cuda.shared.array(1, np.int32)
    image, threads = cuda.blockIdx.x, cuda.blockDim.x * cuda.blockDim.y
    thread = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    top, left = cuda.blockIdx.y * cuda.blockDim.y, cuda.blockIdx.z * cuda.blockDim.x
    row, column = top + cuda.threadIdx.y, left + cuda.threadIdx.x
    _, height, width = labels.shape
    inside = row < height and column < width
    lightness = planes[image, 0, row, column] if inside else np.int32(0)
    a = planes[image, 1, row, column] if inside else np.int32(0)
    b = planes[image, 2, row, column] if inside else np.int32(0)
    nearest, chosen = OUTSIDE, np.int32(-1)
    first = 0
    while first < centers.shape[1]:
        if thread == 0:
            found[0] = 0
        cuda.syncthreads()
        cluster = first + thread
        if cluster < centers.shape[1]:
            start, end = window(centers[image, cluster, 3], step, height)
            begin, stop = window(centers[image, cluster, 4], step, width)
            if start < top + cuda.blockDim.y and end > top and begin < left + cuda.blockDim.x and stop > left:
                slot = cuda.atomic.add(found, 0, 1)
                for feature in range(5):
                    near[slot, feature] = centers[image, cluster, feature]
                near[slot, 5] = cluster
        cuda.syncthreads()
        for slot in range(found[0] if inside else 0):
            center_y, center_x = near[slot, 3], near[slot, 4]
            if _in_window(row, center_y, step) and _in_window(column, center_x, step):
                down = fixed_place(row * PLACE_STEPS - center_y, weight)
                across = fixed_place(column * PLACE_STEPS - center_x, weight)
                distance = fixed_distance(
                    np.int32(lightness - near[slot, 0]),
                    np.int32(a - near[slot, 1]),
                    np.int32(b - near[slot, 2]),
                    np.int32(down + across),
                )
                if distance < nearest or (distance == nearest and near[slot, 5] < chosen):
                    nearest, chosen = distance, near[slot, 5]
        cuda.syncthreads()
        first += threads
    if inside:
        labels[image, row, column] = chosen


def _sum_kernel(planes: Any, labels: Any, sums: Any) -> None:
    """Each thread sums RUN pixels of a column and adds what it has wherever the label changes.

    Columns, because threads side by side then read pixels side by side.
    """
    index = cuda.grid(1)
    count, height, width = labels.shape
    runs = (height + RUN - 1) // RUN
    if index >= count * runs * width:
        return
    image, run, column = pixel_of(index, runs, width)
    lightness = a = b = rows = pixels = 0
    end = min((run + 1) * RUN, height)
    for row in range(run * RUN, end):
        label = labels[image, row, column]
        lightness += planes[image, 0, row, column]
        a += planes[image, 1, row, column]
        b += planes[image, 2, row, column]
        rows += row
        pixels += 1
        if row + 1 == end or labels[image, row + 1, column] != label:
            if label >= 0:
                cuda.atomic.add(sums, (image, label, 0), lightness)
                cuda.atomic.add(sums, (image, label, 1), a)
                cuda.atomic.add(sums, (image, label, 2), b)
                cuda.atomic.add(sums, (image, label, 3), PLACE_STEPS * rows)
                cuda.atomic.add(sums, (image, label, 4), PLACE_STEPS * column * pixels)
                cuda.atomic.add(sums, (image, label, 5), pixels)
            lightness = a = b = rows = pixels = 0


def _move_kernel(sums: Any, centers: Any) -> None:
    """Move each centre to the mean of its pixels, and clear its sums for the next time."""
    index = cuda.grid(1)
    count, clusters, _ = centers.shape
    if index < count * clusters:
        image, cluster = row_of(index, clusters)
        pixels = sums[image, cluster, 5]
        if pixels > 0:
            for feature in range(5):
                centers[image, cluster, feature] = fixed_mean(sums[image, cluster, feature], pixels)
        for feature in range(6):
            sums[image, cluster, feature] = 0
