"""Object maps from teachers' raw maps by robust background detection (spec 5.9), on a grid of square cells."""

import torch
from torch import Tensor

from ..networks.scaling import min_max

AREA_SIGMA = 7.0
COLOR_SIGMA = 10.0
AFFINITY_FLOOR = 0.1
NOISE = 0.2


def object_map(pixels: Tensor, saliency: Tensor, grid: int) -> Tensor:
    """Return object maps [B,grid,grid] in 0..1 of RGB pixels [B,3,H,W] in 0..255 with raw saliency [B,H,W].

    The saliency is the foreground weight of spec 5.9; cells stand for superpixels. The lowest fifth becomes zero.
    """
    colors = cells(lab(pixels), grid).flatten(2).transpose(1, 2)
    foreground = min_max(cells(saliency[:, None], grid).flatten(1), (1,))
    distance = torch.cdist(colors, colors)
    solution = min_max(_optimum(distance, foreground, background_weight(distance, grid), grid), (1,))
    return ((solution - NOISE) / (1 - NOISE)).clamp(min=0).reshape(-1, grid, grid)


def cells(image: Tensor, grid: int) -> Tensor:
    """Return the cell means [B,C,grid,grid] of images [B,C,H,W]."""
    return torch.nn.functional.adaptive_avg_pool2d(image, grid)


def background_weight(distance: Tensor, grid: int) -> Tensor:
    """Return w_bg [B,n] of n = grid^2 cells from their colour distances [B,n,n]: 1 - exp(-boundary connectivity^2 / 2)."""
    nearest = distance + torch.diag(torch.full((grid * grid,), torch.inf))
    clip = nearest.amin(2).mean(1).reshape(-1, 1, 1)
    adjacent = _neighbours(grid, 1) | _border_pairs(grid)
    length = torch.where(adjacent, (distance - clip).clamp(min=0), torch.inf)
    similar = torch.exp(-geodesic(length).square() / (2 * AREA_SIGMA**2))
    connectivity = (similar * _border(grid)).sum(2) / similar.sum(2).sqrt()
    return 1 - torch.exp(-connectivity.square() / 2)


def geodesic(length: Tensor) -> Tensor:
    """Return shortest paths [B,n,n] between all nodes for edge lengths [B,n,n], infinite where there is no edge (Floyd)."""
    paths = torch.where(torch.eye(length.shape[1], dtype=torch.bool), 0.0, length)
    for via in range(paths.shape[1]):
        paths = torch.minimum(paths, paths[:, :, via, None] + paths[:, None, via, :])
    return paths


def _optimum(distance: Tensor, foreground: Tensor, background: Tensor, grid: int) -> Tensor:
    """Minimise sum w_bg s^2 + sum w_fg (s-1)^2 + sum over neighbours to second order of w_ij (s_i - s_j)^2; s [B,n]."""
    linked = _neighbours(grid, 2) | _border_pairs(grid)
    affinity = torch.where(linked, torch.exp(-distance.square() / (2 * COLOR_SIGMA**2)) + AFFINITY_FLOOR, 0.0)
    matrix = torch.diag_embed(affinity.sum(2) + foreground + background) - affinity
    return torch.linalg.solve(matrix, foreground[..., None])[..., 0]


def _positions(grid: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(grid), torch.arange(grid)).float()


def _neighbours(grid: int, reach: int) -> Tensor:
    """Return whether two different cells lie within `reach` steps (king's moves) of each other, [n,n]."""
    distance = torch.cdist(_positions(grid), _positions(grid), p=torch.inf)
    return (distance > 0.5) & (distance < reach + 0.5)


def _border(grid: int) -> Tensor:
    positions = _positions(grid)
    return ((positions == 0) | (positions == grid - 1)).any(1)


def _border_pairs(grid: int) -> Tensor:
    border = _border(grid)
    return border[:, None] & border[None, :] & ~torch.eye(len(border), dtype=torch.bool)


def lab(pixels: Tensor) -> Tensor:
    """Return CIE Lab [B,3,H,W] of sRGB pixels [B,3,H,W] in 0..255 (spec 2.6)."""
    value = pixels / 255
    linear = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = torch.tensor([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                           [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
    white = torch.tensor([0.950456, 1.0, 1.088754])
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz / white[:, None], linear)
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), (903.3 * xyz + 16) / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
