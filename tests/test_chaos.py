"""The short form of `make chaos`."""

import random

import pytest

from unsee.tests.chaos import Killing, Scenario, kill_remote

pytestmark = pytest.mark.ray


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("output_format", "way"), [("webdataset", "anew"), ("files", "retried")])
def test_kills_change_nothing(tmp_path, output_format, way):
    assert Killing(Scenario(output_format, way), tmp_path, random.Random(1), images=80).kill(2) >= 1


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_kills_of_runs_into_an_object_store_change_nothing():
    assert kill_remote(4, random.Random(1)) >= 4
