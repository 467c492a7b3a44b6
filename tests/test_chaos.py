"""The short form of `make chaos`."""

import pytest

from unsee.tests.chaos import chaos

pytestmark = pytest.mark.ray


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_kills_change_nothing(tiny_model, tmp_path):
    assert chaos(tiny_model, 3, "local", 1, tmp_path, images=120) >= 1
