"""Checkpoints on backends that run bundles: exported once, into the cache."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from unsee.engine.methods.models import open_descender, open_mapper
from unsee.engine.networks.model_exports import check_model, preset_of
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.library.cache import cached_bundle
from unsee.tests.export_models import images
from unsee.tests.map_models import SIZE, map_checkpoint, random_priors
from unsee.train.networks.model_names import find_classifier

CONFIG = DescentConfig(iterations=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache directory of these tests' own, and the folder of bundles in it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "unsee" / "bundles"


def bundles(cache):
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_a_checkpoint_on_onnx_runtime_is_exported_once(tiny_model, cache):
    images = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), np.uint8)
    with ThreadPoolExecutor(2) as pool:
        sessions = list(pool.map(lambda _: open_descender(str(tiny_model), CONFIG, "cpu", "onnxruntime"), range(2)))
    (name,) = bundles(cache)
    assert sessions[0].info.backend == "onnxruntime"
    assert name.startswith("squeezenet1_1-")
    expected = open_descender(str(tiny_model), CONFIG, "cpu", "torch").descend(images, 1)
    found = sessions[1].descend(images, 1)
    np.testing.assert_array_equal(found.targets, expected.targets)
    assert np.linalg.norm(found.delta - expected.delta) < 1e-3 * np.linalg.norm(expected.delta)


@pytest.mark.proof
def test_constants_of_the_graph_make_another_bundle_and_iterations_do_not(tiny_model, cache):
    first = cached_bundle(find_classifier(tiny_model), CONFIG)
    written = (first.directory / "bundle.json").stat().st_mtime_ns
    assert cached_bundle(find_classifier(tiny_model), replace(CONFIG, iterations=9)).directory == first.directory
    assert (first.directory / "bundle.json").stat().st_mtime_ns == written
    other = cached_bundle(find_classifier(tiny_model), replace(CONFIG, gamma=3.0))
    assert bundles(cache) == sorted([first.directory.name, other.directory.name])


def test_a_bundle_without_a_preset_can_be_checked(tiny_model, cache):
    bundle = cached_bundle(find_classifier(tiny_model), CONFIG)
    assert bundle.contents.preset == {} and preset_of(bundle).descent == bundle.contents.descent
    assert check_model(bundle.directory).holds


@pytest.mark.proof
def test_a_damaged_bundle_in_the_cache_is_made_again(tiny_model, cache):
    bundle = cached_bundle(find_classifier(tiny_model), CONFIG)
    before = bundles(cache)
    bundle.graph_path.write_bytes(b"")
    assert cached_bundle(find_classifier(tiny_model), CONFIG).directory == bundle.directory
    assert bundle.graph_path.stat().st_size > 0
    assert bundles(cache) == before


@pytest.mark.proof
def test_promoters_and_attentional_networks_are_exported_once_too(cache, tmp_path):
    model = map_checkpoint(tmp_path / "promoter", "promoter")
    before = bundles(cache) if cache.exists() else []
    session = open_mapper(str(model), "cpu", "onnxruntime")
    (name,) = set(bundles(cache)) - set(before)
    assert session.info.backend == "onnxruntime" and name.startswith(session.info.model_id)
    pixels, priors = images(2, SIZE), random_priors(2)
    expected = open_mapper(str(model), "cpu", "torch")
    np.testing.assert_allclose(session.maps(pixels, priors), expected.maps(pixels, priors), atol=1e-3)
    written = (cache / name / "bundle.json").stat().st_mtime_ns
    open_mapper(str(model), "cpu", "onnxruntime")
    assert (cache / name / "bundle.json").stat().st_mtime_ns == written
    more = open_mapper(str(model), "cpu", "onnxruntime", iterations=3)
    assert len(bundles(cache)) == len(before) + 2 and more.info.model_id != session.info.model_id
