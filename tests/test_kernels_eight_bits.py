"""Maps in 8-bit levels."""

import numpy as np

from unsee.kernels.eight_bits import to_levels


def test_levels_are_cut_to_what_a_byte_holds():
    values = np.array([-0.5, -1e-9, 0, 0.5, 1, 1.7, np.nan, np.inf, -np.inf])
    assert to_levels(values).tolist() == [0, 0, 0, 128, 255, 255, 0, 255, 0]
