"""Ablations: one change of a preset each, named by it, and clear errors."""

import pytest

from unsee.bench.ablations import variants
from unsee.engine.cleanup.presets import PRESETS
from unsee.errors import UnseeError

BASE = PRESETS["reference"]


def test_first_comes_the_base_then_a_variant_for_each_value():
    found = variants(BASE, ["gamma=0,2.5", "segments=0", "low-level=off", "gradient=raw"])
    assert [one.label for one in found] == ["", "gamma=0", "gamma=2.5", "segments=0", "low_level=off", "gradient=raw"]
    assert found[0].preset == BASE
    assert [one.preset.descent.gamma for one in found] == [100, 0, 2.5, 100, 100, 100]
    assert [one.preset.post.segments for one in found] == [100, 100, 100, 0, 100, 100]
    assert [one.preset.post.low_level for one in found] == [True, True, True, True, False, True]
    assert found[5].preset.descent.gradient == "raw"
    assert all((one.backend, one.precision) == (None, "fp32") for one in found)


def test_backend_and_precision_leave_the_preset_alone():
    found = variants(BASE, ["backend=torch,onnxruntime", "precision=bf16"])
    assert [(one.backend, one.precision) for one in found] == [
        (None, "fp32"),
        ("torch", "fp32"),
        ("onnxruntime", "fp32"),
        (None, "bf16"),
    ]
    assert all(one.preset == BASE for one in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("gama=1", "nothing called 'gama' to ablate; known: .*alpha, backend, .*gamma"),
        ("gamma", r"an ablation is NAME=VALUE\[,VALUE...\], got 'gamma'"),
        ("gamma=", r"an ablation is NAME=VALUE"),
        ("iterations=many", "iterations takes a value of type int, got 'many'"),
        ("iterations=0", "iterations must be at least 1, got 0"),
        ("gradient=loud", "gradient must be one of normalized, raw, got 'loud'"),
        ("low_level=maybe", "low_level must be one of true, on, yes, false, off, no, got 'maybe'"),
        ("backend=abacus", "backend must be one of auto, torch, .* got 'abacus'"),
        ("precision=int4", "precision must be one of fp32, fp16, bf16, fp64, got 'int4'"),
    ],
)
def test_what_cannot_be_changed_is_told(change, message):
    with pytest.raises(UnseeError, match=message):
        variants(BASE, [change])
