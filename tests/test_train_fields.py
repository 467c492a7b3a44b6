"""Values from files and users: of their type and within their limits, or one clear error."""

import numpy as np
import pytest

from unsee.engine.cleanup.presets import PRESETS, PostConfig
from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.train.networks.maps.mapper_metadata import AttentionalOptions, PromoterOptions
from unsee.train.networks.metadata import InputSpec


@pytest.mark.parametrize(
    ("record", "values", "reason"),
    [
        (PostConfig, {"segments": 10**9}, "segments must be at most 2000, got 1000000000"),
        (PostConfig, {"segments": 9.5}, "segments must be a whole number"),
        (PostConfig, {"segments": True}, "segments must be a whole number"),
        (PostConfig, {"gain": float("nan")}, "gain must be a number, got nan"),
        (PostConfig, {"alpha": "0.2"}, "alpha must be a number"),
        (PostConfig, {"low_level": 1}, "low_level must be true or false"),
        (PostConfig, {"prune": ["otsu"]}, "prune must be one of otsu, soft, none"),
        (DescentConfig, {"step": float("inf")}, "step must be at most"),
        (DescentConfig, {"gradient_floor": float("nan")}, "gradient_floor must be a number"),
        (DescentConfig, {"iterations": 10**9}, "iterations must be at most 10000"),
        (DescentConfig, {"step_decay": 0.0}, "must be above zero"),
        (InputSpec, {"size": 0}, "size must be at least 1"),
        (InputSpec, {"size": 4097}, "size must be at most 4096"),
        (InputSpec, {"mean": (1, 2)}, "mean must be three numbers"),
        (InputSpec, {"std": (1, 1, float("nan"))}, "std must be a number"),
        (InputSpec, {"range": "1"}, "range must be a number"),
        (PromoterOptions, {"channels": 10**9}, "channels must be at most"),
        (PromoterOptions, {"grid": 3}, "grid must be one of"),
        (AttentionalOptions, {"widths": (8,) * 99}, "widths must be 2 to 8 multiples of 8"),
        (AttentionalOptions, {"widths": ("8", "8")}, "a width must be a whole number"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(record, values, reason):
    with pytest.raises(UnseeError, match=reason):
        record(**values)


def test_what_is_in_range_is_taken():
    assert DescentConfig(gradient_floor=-np.inf, step=np.float64(2), iterations=np.int64(3)).step == 2
    assert len(PRESETS) > 3
