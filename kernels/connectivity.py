"""Connected superpixels: small fragments join a neighbour, and labels count up in raster order (spec 2.6).

The rule is that of Achanta's code, said without its flood fill so that a GPU can follow it: a 4-connected component of
at most `smallest` pixels takes the label of the neighbour of its first pixel (in raster order) that is the last of left,
up, right, down to belong to a component that began earlier. Small components that begin the image share label 0 with
the first large one.
"""

from typing import Any

import numpy as np

from .device import empty, filled, is_cuda, launch, launch_blocks, pixel_of, row_of
from .parallel import compiled, over_images

cuda: Any = None  # bound by launch: a CPU needs no CUDA


def enforce_connectivity(labels: Any, smallest: int) -> None:
    """Relabel a batch in place: labels int32 [B, H, W] in memory (contiguous) or on a CUDA device."""
    if is_cuda(labels):
        _connect_cuda(labels, smallest)
    else:
        over_images(_connect_loop, labels, constants=(smallest,))


def _connect_cuda(labels: Any, smallest: int) -> None:
    count, height, width = labels.shape
    pixels, shape = count * height * width, (count, height * width)
    parents, sizes, targets = empty(shape, np.int32), filled(shape, np.int32, 0), empty(shape, np.int32)
    firsts = empty((count, height), np.int32)
    launch(_singletons_kernel, pixels, parents)
    launch(_join_kernel, pixels, labels, parents)
    launch(_flatten_kernel, pixels, parents, sizes)
    launch(_target_kernel, pixels, parents, sizes, targets, smallest, width)
    launch(_count_large_kernel, count * height, parents, sizes, smallest, firsts)
    launch_blocks(_accumulate_kernel, count, firsts)
    launch(_number_kernel, count * height, parents, sizes, smallest, firsts)
    launch(_relabel_kernel, pixels, parents, targets, sizes, labels)


@compiled
def _connect_loop(labels: np.ndarray, smallest: int) -> None:
    pixels = labels.shape[1] * labels.shape[2]
    parents, finals = np.empty(pixels, np.int32), np.empty(pixels, np.int32)
    for image in range(len(labels)):
        _connect(labels[image], smallest, parents, finals)


@compiled
def _connect(labels: np.ndarray, smallest: int, parents: np.ndarray, finals: np.ndarray) -> None:
    _join_equal_neighbours(labels, parents)
    finals[:] = 0
    for pixel in range(len(parents)):  # a parent comes before its children: one pass finds every root
        parents[pixel] = parents[parents[pixel]]
        finals[parents[pixel]] += 1
    _number_components(parents, finals, labels.shape[1], smallest)
    flat = labels.reshape(-1)
    for pixel in range(len(parents)):
        flat[pixel] = finals[parents[pixel]]


@compiled
def _earlier_neighbour(parents: np.ndarray, pixel: int, width: int) -> int:
    """Of a component's first pixel, the neighbouring component that it joins; itself for the first pixel of all."""
    column = pixel % width
    if pixel + width < len(parents) and parents[pixel + width] < pixel:
        return parents[pixel + width]
    if column + 1 < width and parents[pixel + 1] < pixel:
        return parents[pixel + 1]
    if pixel >= width:
        return parents[pixel - width]
    return parents[pixel - 1] if column > 0 else pixel


@compiled
def _join_equal_neighbours(labels: np.ndarray, parents: np.ndarray) -> None:
    """Union-find over left and upper neighbours; a root is the first pixel of its component."""
    height, width = labels.shape
    for row in range(height):
        for column in range(width):
            pixel = row * width + column
            parents[pixel] = pixel
            if column > 0 and labels[row, column] == labels[row, column - 1]:
                parents[pixel] = parents[pixel - 1]
            if row > 0 and labels[row, column] == labels[row - 1, column]:
                upper = parents[pixel - width]
                if upper != parents[pixel]:
                    parents[pixel] = _join(parents, pixel, upper)


@compiled
def _join(parents: np.ndarray, first: int, second: int) -> int:
    first, second = _root(parents, first), _root(parents, second)
    parents[max(first, second)] = min(first, second)
    return min(first, second)


@compiled
def _root(parents: np.ndarray, pixel: int) -> int:
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _root_unchanged(parents: np.ndarray, pixel: int) -> int:
    """As `_root`, but writes nothing: other threads may be joining."""
    while parents[pixel] != pixel:
        pixel = parents[pixel]
    return pixel


@compiled
def _number_components(parents: np.ndarray, finals: np.ndarray, width: int, smallest: int) -> None:
    """Turn the sizes in `finals` into final labels, at the roots; earlier components are always numbered first."""
    large = 0
    for pixel in range(len(parents)):
        if parents[pixel] != pixel:
            continue
        if finals[pixel] > smallest:
            large += 1
            finals[pixel] = large - 1
        else:
            neighbour = _earlier_neighbour(parents, pixel, width)
            finals[pixel] = finals[neighbour] if neighbour != pixel else 0


def _singletons_kernel(parents: Any) -> None:
    index = cuda.grid(1)
    count, pixels = parents.shape
    if index < count * pixels:
        image, pixel = row_of(index, pixels)
        parents[image, pixel] = pixel


def _join_kernel(labels: Any, parents: Any) -> None:
    """Join each pixel with its left and upper neighbours of the same label; the smaller root wins."""
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index >= count * height * width:
        return
    image, row, column = pixel_of(index, height, width)
    for neighbour_row, neighbour_column in ((row, column - 1), (row - 1, column)):
        if neighbour_row < 0 or neighbour_column < 0:
            continue
        if labels[image, row, column] != labels[image, neighbour_row, neighbour_column]:
            continue
        first = _root_unchanged(parents[image], row * width + column)
        second = _root_unchanged(parents[image], neighbour_row * width + neighbour_column)
        while first != second:
            larger, smaller = max(first, second), min(first, second)
            before = cuda.atomic.min(parents, (image, larger), smaller)
            if before == larger:
                break
            first, second = _root_unchanged(parents[image], before), _root_unchanged(parents[image], smaller)


def _flatten_kernel(parents: Any, sizes: Any) -> None:
    index = cuda.grid(1)
    count, pixels = parents.shape
    if index < count * pixels:
        image, pixel = row_of(index, pixels)
        root = _root_unchanged(parents[image], pixel)
        parents[image, pixel] = root
        cuda.atomic.add(sizes, (image, root), 1)


def _target_kernel(parents: Any, sizes: Any, targets: Any, smallest: int, width: int) -> None:
    """At each root: the root of the component that it joins, or itself."""
    index = cuda.grid(1)
    count, pixels = parents.shape
    if index < count * pixels:
        image, pixel = row_of(index, pixels)
        targets[image, pixel] = pixel
        if parents[image, pixel] == pixel and sizes[image, pixel] <= smallest:
            targets[image, pixel] = _earlier_neighbour(parents[image], pixel, width)


def _count_large_kernel(parents: Any, sizes: Any, smallest: int, firsts: Any) -> None:
    """Large components that begin in each row."""
    index = cuda.grid(1)
    count, height = firsts.shape
    if index < count * height:
        image, row = row_of(index, height)
        width, _ = row_of(parents.shape[1], height)
        large = 0
        for pixel in range(row * width, (row + 1) * width):
            if parents[image, pixel] == pixel and sizes[image, pixel] > smallest:
                large += 1
        firsts[image, row] = large


def _accumulate_kernel(firsts: Any) -> None:
    """Turn counts of rows into the number of the first component that begins in each; a block an image.

    Each thread has a run of rows: it sums them, and begins with what the threads before it have.
    """
    sums = cuda.shared.array(1024, np.int32)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    rows = firsts.shape[1]
    run, _ = row_of(rows + threads - 1, threads)
    start, end = min(thread * run, rows), min((thread + 1) * run, rows)
    total = 0
    for row in range(start, end):
        total += firsts[image, row]
    sums[thread] = total
    cuda.syncthreads()
    total = 0
    for earlier in range(thread):
        total += sums[earlier]
    for row in range(start, end):
        begin = firsts[image, row]
        firsts[image, row] = total
        total += begin


def _number_kernel(parents: Any, sizes: Any, smallest: int, firsts: Any) -> None:
    """Replace the sizes of roots by labels; a small first component of the image gets 0."""
    index = cuda.grid(1)
    count, height = firsts.shape
    if index < count * height:
        image, row = row_of(index, height)
        width, _ = row_of(parents.shape[1], height)
        label = firsts[image, row]
        for pixel in range(row * width, (row + 1) * width):
            if parents[image, pixel] == pixel:
                large = sizes[image, pixel] > smallest
                sizes[image, pixel] = label if large else 0
                label += 1 if large else 0


def _relabel_kernel(parents: Any, targets: Any, numbers: Any, labels: Any) -> None:
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        root = parents[image, row * width + column]
        while targets[image, root] != root:  # targets only lead to earlier components
            root = targets[image, root]
        labels[image, row, column] = numbers[image, root]
