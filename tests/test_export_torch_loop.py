"""PyTorch's runner as it is on a GPU: turns captured once and replayed, padded batches, memory that runs out, precisions."""

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from unsee.engine.methods.batching import Batcher
from unsee.errors import DeviceUnavailableError, UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.bundles.descent_contents import step_graph
from unsee.export.graph.eager import eager_descender
from unsee.export.graph.step import build_step, pixel_classifier
from unsee.export.runtime.descender import Descender
from unsee.export.runtime.precision import bundle_precision, full_precision, network_precision
from unsee.export.runtime.pytorch import torch_loop
from unsee.export.runtime.pytorch.torch_loop import arithmetic
from unsee.export.runtime.pytorch.torch_runner import TorchRunner
from unsee.tests.export_models import images
from unsee.train.networks.model_names import load_classifier


class Captures:
    """Stands in for CUDA graphs: the operations are traced once, with everything but memory frozen, and run again.

    room: images that fit at once. made, replayed: sizes of the batches of what was captured, and of what ran.
    """

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.made: list[int] = []
        self.replayed: list[int] = []

    def captured(self, run: Callable[[], torch_loop.Tensors], place: torch.device) -> Callable[[], torch_loop.Tensors]:
        assert place.type == "cpu"
        loop: torch_loop.TorchLoop = run.__self__  # pyright: ignore[reportFunctionMemberAccess]
        size = len(loop.inputs["image"])
        self.made.append(size)
        if size > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        outputs = {name: value.clone() for name, value in run().items()}
        addresses = {name: value.data_ptr() for name, value in loop.inputs.items()}
        program = make_fx(lambda: run())()

        def replay() -> torch_loop.Tensors:
            self.replayed.append(size)
            assert {name: value.data_ptr() for name, value in loop.inputs.items()} == addresses
            with torch.no_grad():
                for name, value in program().items():
                    outputs[name].copy_(value)
            return outputs

        return replay


def one_hot_as_on_cuda(target: torch.Tensor, classes: int) -> torch.Tensor:
    """On a CPU PyTorch looks at the values, which CUDA cannot while it captures, and where it does not."""
    return (target[:, None] == torch.arange(classes)).long()


@pytest.fixture
def captures(monkeypatch):
    double = Captures()
    monkeypatch.setattr(torch_loop, "captured", double.captured)
    monkeypatch.setattr(torch.nn.functional, "one_hot", one_hot_as_on_cuda)
    return double


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return load_classifier(str(tiny_model))


def descender_of(classifier, config, captures):
    """PyTorch's descender in double precision, where the size of a batch rounds nothing; captures: whether its turns are."""
    step = build_step(pixel_classifier(classifier, "fp64"), config)
    graph = step_graph(classifier.metadata.input.size, len(classifier.labels))
    runner = TorchRunner(step, graph, torch.device("cpu"), torch.float64, captures=captures)
    return Descender(runner, eager_descender(classifier, config).info, config)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_captured_turns_are_those_of_the_uncaptured_loop(turns, classifier, captures):
    config = DescentConfig(iterations=turns)
    size = classifier.metadata.input.size
    expected, descender = descender_of(classifier, config, False), descender_of(classifier, config, True)
    for seed in (1, 2):  # the second replays, on other images
        pixels = images(3, size, seed=seed)
        found, wanted = descender.descend(pixels), expected.descend(pixels)
        assert np.abs(wanted.delta).max() > 0
        np.testing.assert_allclose(found.delta, wanted.delta, atol=1e-4)
        np.testing.assert_array_equal(found.targets, wanted.targets)
    assert captures.made == [3] and captures.replayed == [3, 3]


def test_other_numbers_of_turns_are_captured_beside(classifier, captures):
    descender = descender_of(classifier, DescentConfig(iterations=3), True)
    pixels = images(2, classifier.metadata.input.size)
    for iterations in (3, 1, 3, 1):
        descender.descend(pixels, iterations)
    assert captures.made == [2, 2] and captures.replayed == [2] * 4


def test_every_batch_is_padded_to_the_configured_size_and_mates_decide_nothing(classifier, captures):
    size = classifier.metadata.input.size
    batcher = Batcher(descender_of(classifier, DescentConfig(iterations=2), True), 4)
    batcher.on_cpu, batcher.pads = False, True
    pixels = images(6, size)
    first = batcher.descend(pixels[:1])  # a run whose first images are bad begins with a small batch
    all_of_them = batcher.descend(pixels)
    assert captures.made == [4] and captures.replayed == [4, 4, 4]
    assert first.delta.shape == (1, 3, size, size) and all_of_them.delta.shape == (6, 3, size, size)
    np.testing.assert_array_equal(first.delta, all_of_them.delta[:1])


def test_memory_that_runs_out_halves_the_batch_for_good(classifier, captures):
    captures.room = 3
    batcher = Batcher(descender_of(classifier, DescentConfig(iterations=2), True), 8)
    batcher.on_cpu, batcher.pads = False, True
    pixels = images(11, classifier.metadata.input.size)
    found = batcher.descend(pixels)
    assert batcher.size == 2 and captures.made == [8, 4, 2] and set(captures.replayed) == {2}
    expected = descender_of(classifier, DescentConfig(iterations=2), False).descend(pixels)
    np.testing.assert_allclose(found.delta, expected.delta, atol=1e-4)


def test_pixels_are_turned_into_images_where_they_are_wanted(classifier, captures):
    config = DescentConfig(iterations=1)
    descender = descender_of(classifier, config, True)
    pixels = images(2, classifier.metadata.input.size)
    rest = {"reference": np.zeros((2, len(classifier.labels)), np.float32), "target": np.full(2, -1)}
    turns = [{"iteration": 0, "step_size": config.step_at(0)}]
    by_pixels = descender.runner.run({"image": pixels, **rest}, turns)
    floats = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    by_floats = descender.runner.run({"image": floats, **rest}, turns)
    np.testing.assert_array_equal(by_pixels["next_image"], by_floats["next_image"])


def test_a_descent_that_is_left_on_the_device_is_the_same(classifier, captures):
    descender = descender_of(classifier, DescentConfig(iterations=2), True)
    descender.runner.expect(4)
    pixels = images(3, classifier.metadata.input.size)
    with descender.runner.at_work():
        there = descender.descend_there(pixels)
        assert len(there["delta"]) == 4 and there["delta"].is_contiguous() and there["pixels"].is_contiguous()
        np.testing.assert_array_equal(there["pixels"][:3].numpy(), pixels)
        delta = there["delta"][:3].float().numpy()
    expected = descender.descend(pixels)
    np.testing.assert_allclose(delta, expected.delta, atol=1e-4)
    np.testing.assert_array_equal(there["targets"][:3].numpy(), expected.targets)


class Streams:
    """Stands in for the streams of a GPU. log: what was done in which stream, in the caller's order."""

    def __init__(self, monkeypatch) -> None:
        self.log: list[tuple[str, str]] = []
        self.names = ["work"]
        for name in ("current_stream", "stream", "graph", "CUDAGraph", "Stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def current_stream(self, place):
        return Stream(self, self.names[-1])

    def Stream(self, place):
        return Stream(self, "capture")

    @contextmanager
    def stream(self, stream):
        self.names.append(stream.name)
        yield
        self.names.pop()

    @contextmanager
    def graph(self, graph, stream, capture_error_mode):
        self.log.append((stream.name, f"captured {capture_error_mode}"))
        with self.stream(stream):
            yield

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.log.append((self.names[-1], "replayed")))


class Stream:
    def __init__(self, streams: Streams, name: str) -> None:
        self.streams, self.name = streams, name

    def wait_stream(self, other):
        self.streams.log.append((self.name, f"waits for {other.name}"))


class Pixels:
    """A tensor that says what is done with it."""

    def __init__(self, streams: Streams, kind: str = "pageable") -> None:
        self.streams, self.kind = streams, kind

    def pin_memory(self):
        return Pixels(self.streams, "pinned")

    def to(self, place, non_blocking):
        self.streams.log.append((self.streams.names[-1], f"copies {self.kind}, waits: {not non_blocking}"))
        return Pixels(self.streams, "uploaded")

    def record_stream(self, stream):
        self.streams.log.append((stream.name, f"reads {self.kind}"))


def test_a_batch_is_uploaded_beside_what_is_computed_and_read_when_it_is_there(monkeypatch):
    streams = Streams(monkeypatch)
    found = torch_loop.uploaded(Pixels(streams), torch.device("cuda:0"), Stream(streams, "upload"))
    assert found.kind == "uploaded"
    assert streams.log == [
        ("upload", "copies pinned, waits: False"),
        ("work", "waits for upload"),
        ("work", "reads uploaded"),
    ]


def test_turns_are_captured_while_other_threads_use_the_device(monkeypatch):
    streams = Streams(monkeypatch)
    replay = torch_loop.captured(lambda: streams.log.append((streams.names[-1], "runs")) or {}, torch.device("cuda:0"))
    warm = [("capture", "runs")] * torch_loop.WARM_UPS
    between = [("work", "waits for capture"), ("capture", "captured thread_local"), ("capture", "runs")]
    assert streams.log == [("capture", "waits for work"), *warm, *between]
    assert replay() == {} and streams.log[-1] == ("work", "replayed")


def test_rounding_is_what_was_asked_for_and_put_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for precision, allowed in (("fp32", False), ("tf32", True), ("fp16", False)):
        with arithmetic(precision):
            assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (allowed, allowed)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_half_precision_is_near_and_named():
    classifier, config = load_classifier("unsee-small"), DescentConfig(iterations=1)
    pixels = images(2, classifier.metadata.input.size)
    half = eager_descender(classifier, config, precision="fp16")
    assert half.info.precision == "fp16"
    full = eager_descender(classifier, config, precision="auto")
    assert full.info.precision == "fp32"
    delta, expected = half.descend(pixels).delta, full.descend(pixels).delta
    assert 0 < np.linalg.norm(delta - expected) / np.linalg.norm(expected) < 0.2


@pytest.mark.parametrize(
    ("wanted", "on_cuda", "expected"),
    [("auto", True, "fp16"), ("auto", False, "fp32"), ("tf32", True, "tf32"), ("fp16", False, "fp16")],
)
def test_precision_of_a_checkpoint(wanted, on_cuda, expected):
    assert network_precision(wanted, on_cuda) == expected


@pytest.mark.parametrize(
    ("wanted", "own", "on_cuda", "backend", "expected"),
    [
        ("auto", "fp32", True, "onnxruntime", "fp32"),
        ("auto", "fp16", True, "tensorrt", "fp16"),
        ("tf32", "fp32", True, "tensorrt", "tf32"),
        ("auto", "fp32", True, "ort-tensorrt", "tf32"),
        ("fp16", "fp16", True, "ort-tensorrt", "fp16"),
    ],
)
def test_precision_of_a_bundle(wanted, own, on_cuda, backend, expected):
    assert bundle_precision(wanted, own, on_cuda, backend, "box") == expected


def test_precisions_that_cannot_be_had():
    with pytest.raises(DeviceUnavailableError, match="rounding of NVIDIA GPUs"):
        network_precision("tf32", on_cuda=False)
    with pytest.raises(UnseeError, match="box was exported in fp32 and cannot run in fp16: export it with --precision"):
        bundle_precision("fp16", "fp32", True, "onnxruntime", "box")
    with pytest.raises(UnseeError, match="cannot run in tf32"):
        bundle_precision("tf32", "fp16", True, "onnxruntime", "box")
    with pytest.raises(UnseeError, match="rounds products to tf32"):
        bundle_precision("fp32", "fp32", True, "ort-tensorrt", "box")
    with pytest.raises(UnseeError, match="a promoter runs in fp32 or tf32"):
        full_precision("fp16", on_cuda=True, named="a promoter")
    with pytest.raises(UnseeError, match="unknown precision 'half'"):
        network_precision("half", on_cuda=True)
