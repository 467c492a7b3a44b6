"""Numba kernels for colour, superpixels, contrast and metric sweeps; numpy and numba only."""
