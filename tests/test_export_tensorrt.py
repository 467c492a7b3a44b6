"""The TensorRT sessions on a fake TensorRT: copies, padding, captured graphs and plans; speed and numbers need a GPU."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from unsee.engine.methods.batching import MapBatcher
from unsee.engine.methods.models import open_descender, open_mapper
from unsee.errors import DeviceUnavailableError
from unsee.export.bundles.bundle import read_bundle
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.graph.exportables import export_map_network
from unsee.export.runtime.tensorrt.tensorrt_engine import prepare_plan
from unsee.export.runtime.tensorrt.tensorrt_runner import TensorRtRunner
from unsee.tests.export_models import checkpoint, export_classifier, images
from unsee.tests.fake_tensorrt import Runtime
from unsee.tests.map_models import SIZE, map_checkpoint, random_priors

CONFIG = DescentConfig(iterations=3)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    export_map_network(str(map_checkpoint(folder / "model", "promoter")), folder / "promoter")
    export_classifier(str(checkpoint(folder / "classifier", "unsee_small", size=64)), folder / "descent", CONFIG)
    return {kind: folder / kind for kind in ("promoter", "descent")}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    fake = Runtime()
    fake.install(monkeypatch)
    return fake


def test_maps_of_padded_batches_equal_the_cpus(bundles: dict[str, Path], device: Runtime) -> None:
    name = str(bundles["promoter"])
    session, expected = open_mapper(name, "cuda", "tensorrt"), open_mapper(name, "cpu")
    assert (session.info.backend, session.info.device) == ("tensorrt", "cuda:0")
    for count in (
        3,
        2,
        3,
        5,
    ):  # the second is padded, the third replays the captured graph, the last needs another plan
        pixels, priors = images(count, SIZE, seed=count), random_priors(count, seed=count)
        actual = session.maps(pixels, priors)
        assert actual.shape == (count, SIZE, SIZE)
        np.testing.assert_allclose(actual, expected.maps(pixels, priors), atol=1e-5)
    assert len(device.built) == 2


def test_descents_of_padded_batches_equal_the_cpus(bundles: dict[str, Path], device: Runtime) -> None:
    name = str(bundles["descent"])
    session, expected = open_descender(name, CONFIG, "cuda", "tensorrt"), open_descender(name, CONFIG, "cpu")
    for count in (3, 2, 3):
        pixels = images(count, 64, seed=count)
        for iterations in (1, 2):
            actual, wanted = session.descend(pixels, iterations), expected.descend(pixels, iterations)
            np.testing.assert_allclose(actual.delta, wanted.delta, atol=1e-2)
            np.testing.assert_array_equal(actual.targets, wanted.targets)
    assert len(device.built) == 1


@pytest.mark.parametrize("kind", ["promoter", "descent"])
def test_plan_is_built_once_and_found_again(kind: str, bundles: dict[str, Path], device: Runtime) -> None:
    prepare_plan(read_bundle(bundles[kind]), 4, "cuda", "tf32")
    prepare_plan(read_bundle(bundles[kind]), 4, "cuda", "tf32")
    stem = "map" if kind == "promoter" else "step"
    assert len(device.built) == 1
    assert (bundles[kind] / f"{stem}.fake-gpu-3000-tf32-batch4.plan").is_file()
    assert (bundles[kind] / f"{stem}.timing.cache").read_bytes() == b"timing"


def test_a_plan_that_many_need_at_once_is_built_by_one(
    bundles: dict[str, Path], device: Runtime, tmp_path: Path
) -> None:
    directory = shutil.copytree(bundles["descent"], tmp_path / "bundle", ignore=shutil.ignore_patterns("*.plan*"))
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(prepare_plan, read_bundle(directory), 2, "cuda") for _ in range(8)]:
            done.result()
    assert len(device.built) == 1


def test_a_failure_while_capturing_leaves_a_stream_that_works(bundles: dict[str, Path], device: Runtime) -> None:
    session = open_descender(str(bundles["descent"]), CONFIG, "cuda", "tensorrt")
    runner, pixels = session.runner, images(2, 64)
    assert isinstance(runner, TensorRtRunner)
    enqueue, calls = runner.engine.enqueue, []

    def failing(addresses: dict[str, int]) -> None:
        calls.append(1)
        if len(calls) == 3:  # the first two turns run uncaptured
            raise DeviceUnavailableError("TensorRT could not run the plan")
        enqueue(addresses)

    runner.engine.enqueue = failing
    with pytest.raises(DeviceUnavailableError):
        session.descend(pixels, 2)
    assert device.capture is None
    expected = open_descender(str(bundles["descent"]), CONFIG, "cpu").descend(pixels, 2)
    np.testing.assert_allclose(session.descend(pixels, 2).delta, expected.delta, atol=1e-2)
    session.close()
    session.close()
    assert not device.memory


def test_no_gpu_is_an_error(bundles: dict[str, Path], device: Runtime) -> None:
    with pytest.raises(DeviceUnavailableError, match="needs an NVIDIA GPU"):
        open_mapper(str(bundles["promoter"]), "cpu", "tensorrt")


def test_memory_is_given_back_before_more_is_taken_and_batches_shrink(
    bundles: dict[str, Path], device: Runtime
) -> None:
    name, image = str(bundles["promoter"]), SIZE * SIZE * 4 * 5  # three channels, the prior and the map
    device.room = 5 * image
    batcher = MapBatcher(open_mapper(name, "cuda", "tensorrt"), 8)
    pixels, priors = images(8, SIZE), random_priors(8)
    found = batcher.maps(pixels, priors)
    held = sum(len(block) for block in device.memory.values())
    assert batcher.size == 4 and held == 4 * image  # nothing of the batch of 8, which did not fit
    np.testing.assert_allclose(found, open_mapper(name, "cpu").maps(pixels, priors), atol=1e-5)
