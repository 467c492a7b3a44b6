"""Post-processing: from the difference to the finished map."""

from dataclasses import replace

import numpy as np
import pytest

from unsee.engine.cleanup.postprocess import finish, raw_map
from unsee.engine.cleanup.presets import PRESETS, PostConfig, preset
from unsee.errors import UnseeError

RANDOM = np.random.default_rng(3)


def pictures(batch=3, height=40, width=56):
    images = RANDOM.integers(0, 256, (batch, 5, 7, 3), np.uint8).repeat(8, 1).repeat(8, 2)[:, :height, :width]
    delta = RANDOM.random((batch, 3, height, width), np.float32) * (images.transpose(0, 3, 1, 2) > 128)
    return delta, images


@pytest.mark.parametrize("name", PRESETS)
def test_every_stage_is_finite_and_within_0_and_1(name):
    maps = finish(*pictures(), PRESETS[name].post)
    for stage in (maps.raw, maps.pruned, maps.smoothed, maps.final):
        assert stage.shape == (3, 40, 56)
        assert stage.dtype == np.float32
        assert stage.min() >= 0
        assert stage.max() == pytest.approx(1)


@pytest.mark.parametrize("name", PRESETS)
def test_zero_difference_gives_zero_maps(name):
    delta, images = pictures()
    maps = finish(delta * 0, images, PRESETS[name].post)
    assert not maps.final.any()
    assert not maps.raw.any()
    assert not maps.magnitude.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_image_is_flagged_and_does_no_harm_to_the_others(bad):
    delta, images = pictures()
    clean = finish(delta, images, PostConfig())
    delta[1, 2, 3, 4] = bad
    maps = finish(delta, images, PostConfig())
    assert maps.diverged.tolist() == [False, True, False]
    assert not maps.final[1].any()
    np.testing.assert_array_equal(maps.final[[0, 2]], clean.final[[0, 2]])


def test_batch_mates_do_not_matter():
    delta, images = pictures()
    batch = finish(delta, images, PostConfig()).final
    single = [finish(delta[i : i + 1], images[i : i + 1], PostConfig()).final[0] for i in range(3)]
    np.testing.assert_array_equal(batch, single)


def test_constant_photograph_and_map():
    delta, images = pictures()
    maps = finish(delta, np.full_like(images, 90), PostConfig())
    assert np.isfinite(maps.final).all()


def test_raw_map_scales_each_channel_where_the_preset_says_so():
    delta = np.zeros((1, 3, 1, 4), np.float32)
    delta[0, 0], delta[0, 1] = [0, 1, 2, 4], [0, 0, 0, 100]
    np.testing.assert_allclose(raw_map(delta, PostConfig())[0, 0], [0, 0.125, 0.25, 1])
    np.testing.assert_allclose(raw_map(delta, PRESETS["paper"].post)[0, 0], np.array([0, 1, 2, 104]) / 104)


def test_reference_finish_brightens_and_cuts():
    delta, images = pictures()
    config = PostConfig(segments=0, prune="none")
    maps = finish(delta, images, config)
    scaled = maps.raw - maps.raw.min((1, 2), keepdims=True)
    brightened = np.minimum(1.7 * scaled / scaled.max((1, 2), keepdims=True), 1)
    np.testing.assert_allclose(maps.final, np.where(brightened > 0.2, brightened, 0), atol=1e-6)


def test_empty_batch():
    assert finish(np.zeros((0, 3, 8, 8), np.float32), np.zeros((0, 8, 8, 3), np.uint8), PostConfig()).final.shape == (
        0,
        8,
        8,
    )


def test_low_level_weight_changes_the_map_only_where_asked():
    delta, images = pictures()
    plain = finish(delta, images, replace(PostConfig(), low_level=False))
    assert not np.array_equal(plain.final, finish(delta, images, PostConfig()).final)
    np.testing.assert_array_equal(plain.smoothed, finish(delta, images, PostConfig()).smoothed)


def test_background_takes_what_the_frame_is_made_of():
    images = np.full((1, 60, 60, 3), (30, 90, 160), np.uint8)
    images[:, 20:40, 20:40] = (200, 60, 30)
    delta = np.zeros((1, 3, 60, 60), np.float32)
    delta[:, :, 25:60, 25:35] = 1  # part of the object, and background below it
    found = finish(delta, images, PRESETS["best"].post).final[0]
    assert found[22:38, 22:38].min() > 0.9
    assert found[:, :15].max() < 0.1
    assert found[45:].max() < 0.5


def test_batch_mates_do_not_matter_to_the_background():
    delta, images = pictures(height=39, width=53)
    images[2] = 120  # fewer superpixels
    batch = finish(delta, images, PRESETS["best"].post).final
    single = [finish(delta[i : i + 1], images[i : i + 1], PRESETS["best"].post).final[0] for i in range(3)]
    np.testing.assert_array_equal(batch, single)


def test_final_sigmoid_keeps_the_ends_and_parts_at_its_middle():
    config = replace(PostConfig(), segments=0, prune="none", final_prune="sigmoid", steepness=4.0, middle=0.5)
    delta = np.broadcast_to(np.linspace(0, 1, 5, dtype=np.float32), (1, 3, 1, 5))
    sigmoid = 1 / (1 + np.exp(-4 * (np.linspace(0, 1, 5) - 0.5)))
    expected = (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])
    found = finish(delta, np.zeros((1, 1, 5, 3), np.uint8), config).final[0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[[0, 2, 4]] == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"prune": "hard"},
        {"theta": 1.0},
        {"segments": -1},
        {"normalization": "max"},
        {"background": True},
        {"background": True, "low_level": False, "segments": 0},
        {"steepness": 0.0},
        {"middle": 1.0},
        {"affinity_floor": -1.0},
    ],
)
def test_constants_are_checked(wrong):
    with pytest.raises(UnseeError):
        PostConfig(**wrong)


def test_unknown_preset_is_named():
    with pytest.raises(UnseeError, match="unknown preset 'papers'; known: reference, paper"):
        preset("papers")
