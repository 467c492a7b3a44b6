"""When memory runs out: told from other errors, and answered by batches that are really smaller."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from unsee.engine.methods.batching import Batcher
from unsee.engine.methods.models import open_descender
from unsee.errors import DeviceUnavailableError, UnseeError
from unsee.export.bundles.bundle import read_bundle
from unsee.export.bundles.descent_contents import DescentContents
from unsee.export.runtime import onnxruntime_lanes
from unsee.export.runtime.descender import Descender
from unsee.export.runtime.memory import OutOfMemoryError, is_out_of_memory
from unsee.tests.export_models import images
from unsee.tests.fake_onnxruntime import CudaRuntime


def error_of(package: str, name: str, text: str) -> Exception:
    return type(name, (Exception,), {"__module__": package})(text)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate"
        ),
        RuntimeError("std::bad_alloc"),
        RuntimeError("bad allocation"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("cudaErrorMemoryAllocation"),
        OSError(12, "Cannot allocate memory"),
        error_of("torch", "OutOfMemoryError", "CUDA"),
        error_of("numba.cuda", "CudaAPIError", "[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
        error_of("onnxruntime.capi", "RuntimeException", "bfc_arena.cc:376 BFCArena::AllocateRawInternal Failed"),
        error_of("onnxruntime.capi", "Fail", "Failed to allocate memory for requested buffer of size 4096"),
        OutOfMemoryError("TensorRT found no memory"),
    ],
)
def test_out_of_memory_in_the_words_of_every_runtime(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        FileNotFoundError(2, "No such file", "out of memory.png"),
        UnseeError("photos/out of memory.png: damaged"),
        DeviceUnavailableError("/models/bad_alloc/step.onnx: cannot be run"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("the size of tensor a must match"),
        error_of("onnxruntime.capi", "InvalidArgument", "Got invalid dimensions for input: image"),
        error_of("somebody", "Exception", "out of memory"),
    ],
)
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)


@pytest.fixture
def on_cuda(monkeypatch, tiny_bundle):
    """Open the tiny bundle on a stand-in for a GPU in whose memory only `room` images fit."""

    def opened(room, backend="onnxruntime"):
        runtime = CudaRuntime(room)
        monkeypatch.setattr(onnxruntime_lanes, "require", lambda *_: runtime)
        bundle = read_bundle(tiny_bundle, DescentContents)
        return Descender.of_bundle(bundle, bundle.contents.descent, "cuda", backend), runtime

    return opened


def test_a_halved_batch_is_not_padded_back_to_the_size_that_failed(on_cuda, tiny_bundle, monkeypatch):
    descender, runtime = on_cuda(3)
    batcher = Batcher(descender, 8)
    pixels = images(11, 48)
    found = batcher.descend(pixels)
    assert batcher.size == 2
    assert runtime.ran == [8, 4, *[2] * 6] and runtime.opened == [1, 8, 4, 2]
    batcher.descend(pixels[:1])
    assert runtime.ran[-1] == 2  # padded to what is known to fit
    monkeypatch.undo()
    expected = open_descender(str(tiny_bundle), descender.config, "cpu").descend(pixels)
    np.testing.assert_array_equal(found.targets, expected.targets)
    np.testing.assert_allclose(found.delta, expected.delta, atol=1e-3)


def test_memory_that_runs_out_later_shrinks_what_ran_before(on_cuda):
    descender, runtime = on_cuda(8)
    batcher = Batcher(descender, 8)
    batcher.descend(images(8, 48))
    runtime.room = 4
    batcher.descend(images(8, 48))
    assert runtime.ran == [8, 8, 4, 4] and batcher.size == 4


def test_the_batch_that_really_ran_is_halved(on_cuda):
    descender, runtime = on_cuda(2)
    batcher = Batcher(descender, 128)
    batcher.descend(images(5, 48))
    assert runtime.ran == [5, 2, 2, 2]


def test_in_bulk_every_batch_is_padded_to_the_size_that_was_configured(on_cuda):
    descender, runtime = on_cuda(4)
    batcher = Batcher(descender, 16)
    batcher.pads = True
    batcher.descend(images(1, 48))  # the others of the first batch could not be read
    batcher.descend(images(9, 48))
    assert runtime.ran == [16, 8, 4, 4, 4, 4] and batcher.size == 4


@pytest.mark.parametrize("backend", ["onnxruntime", "ort-tensorrt"])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_captured_graphs_give_every_turn_its_own_addresses(turns, backend, on_cuda, tiny_bundle, monkeypatch):
    descender, _ = on_cuda(8, backend)
    pixels = [images(4, 48, seed=seed) for seed in range(2)]
    found = [descender.descend(one, turns) for one in pixels]  # the second one replays
    monkeypatch.undo()
    plain = open_descender(str(tiny_bundle), descender.config, "cpu")
    for one, result in zip(pixels, found, strict=True):
        expected = plain.descend(one, turns)
        assert np.abs(expected.delta).max() > 0
        np.testing.assert_allclose(result.delta, expected.delta, atol=1e-3)


def test_a_single_image_that_does_not_fit_is_one_clear_error(on_cuda):
    descender, _ = on_cuda(0)
    with pytest.raises(UnseeError, match=r"out of memory with a single image.*Failed to allocate memory"):
        Batcher(descender, 4).descend(images(3, 48))


def test_on_the_cpu_a_first_batch_of_one_does_not_keep_later_ones_from_all_lanes(tiny_bundle):
    bundle = read_bundle(tiny_bundle, DescentContents)
    descender = Descender.of_bundle(bundle, bundle.contents.descent, "cpu", threads=4)
    lanes = descender.runner.lanes
    pixels = images(6, 48)
    alone = descender.descend(pixels[:1])
    assert (lanes.count, lanes.lane_threads) == (1, 4)
    together = descender.descend(pixels)
    assert (lanes.count, lanes.lane_threads) == (4, 1)
    np.testing.assert_array_equal(alone.delta[0], together.delta[0])
    np.testing.assert_array_equal(descender.descend(pixels[:1]).delta, alone.delta)
    assert lanes.count == 4


def test_on_the_cpu_batches_may_be_run_at_once(tiny_bundle):
    bundle = read_bundle(tiny_bundle, DescentContents)
    descender = Descender.of_bundle(bundle, bundle.contents.descent, "cpu", threads=3)
    assert descender.runner.takes_several
    pixels = [images(count, 48, seed=count) for count in (1, 5, 2, 4, 3)]
    expected = [descender.descend(one) for one in pixels]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for found, alone in zip(pool.map(descender.descend, pixels), expected, strict=True):
                np.testing.assert_array_equal(found.delta, alone.delta)
                np.testing.assert_array_equal(found.logits, alone.logits)
