"""The command line's options: every constant has one, and underscores are dashes."""

import re
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from unsee.cli.app import app
from unsee.cli.preset_options import overridden
from unsee.engine.cleanup.presets import PRESETS, PostConfig
from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_every_constant_has_an_option():
    text = RUNNER.invoke(app, ["run", "--help-all"]).output
    assert len(text) > 2 * len(RUNNER.invoke(app, ["run", "--help"]).output)
    for record in (DescentConfig, PostConfig):
        for field in fields(record):
            assert f"--{field.name.replace('_', '-')}" in text


def test_overrides_replace_only_what_is_given():
    chosen = overridden(PRESETS["paper"], {"gamma": 5.0}, {"low_level": False})
    assert chosen.descent.gamma == 5
    assert chosen.descent.step == PRESETS["paper"].descent.step
    assert chosen.post == PostConfig(
        channel_normalization=False, prune="soft", normalization="linf", final_prune="soft", low_level=False
    )


@pytest.mark.parametrize("command", ["run", "promote"])
def test_options_that_must_be_given_head_the_help(command):
    options = RUNNER.invoke(app, [command, "--help"]).output.split("Options:")[1]
    marked = ["[required]" in text for text in re.split(r"\n  -", options)[1:]]
    assert any(marked) and marked == sorted(marked, reverse=True)


def test_override_is_checked():
    with pytest.raises(UnseeError, match="theta"):
        overridden(PRESETS["paper"], {}, {"theta": 2.0})


def test_doctor_names_devices_and_choice():
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 0
    for word in ("python", "numba", "CUDA devices", "a checkpoint runs on", "a bundle runs on"):
        assert word in result.output


def test_missing_argument_is_a_usage_error():
    assert RUNNER.invoke(app, ["run"]).exit_code == 2
