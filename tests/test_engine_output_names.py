"""Outputs that file systems can hold."""

import os
from pathlib import Path

import pytest

from unsee.engine.outputs.layout import LONGEST_NAME, MASK_SUFFIX
from unsee.engine.outputs.output_names import MOST_BYTES, MOST_PATH_BYTES, fitted
from unsee.files import temporary_of


@pytest.mark.parametrize("output", ["a", "sub/a", "x" * MOST_BYTES, "/".join(["y" * 100] * 15)])
def test_short_outputs_stay(output):
    assert fitted(output) == output


@pytest.mark.parametrize("part", ["x" * 251, "é" * 126, os.fsdecode(b"\xff" * 251), "文" * 85])
def test_long_parts_are_cut_and_told_apart(part):
    one, other = fitted(f"sub/{part}"), fitted(f"sub/{part[:-1]}z")
    assert one != other
    assert one.startswith("sub/")
    name = os.path.basename(one) + MASK_SUFFIX  # noqa: PTH119
    assert len(os.fsencode(temporary_of(Path(name)).name)) <= LONGEST_NAME
    assert fitted(one) == one


def test_long_paths_keep_their_last_part():
    output = fitted("/".join(["folder" * 20] * 40 + ["last"]))
    assert output.endswith("/last")
    assert len(os.fsencode(output)) <= MOST_PATH_BYTES
