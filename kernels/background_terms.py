"""Constants of robust background detection (Zhu et al., CVPR 2014), for the CPU's and the device's half."""

AREA_SIGMA = 7.0
BORDER_SIGMA = 1.0
AFFINITY_SIGMA = 10.0
AFFINITY_FLOOR = 0.1
LEAST_WEIGHT = 1e-6
"""Added to the diagonal of the linear system, which a constant image would leave singular."""
