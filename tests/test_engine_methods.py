"""Method a and the methods that the papers compare: formulas by hand, then through a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unsee.cli.app import app
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.descents import GRADIENT_STEP, GradientMethod, MaskedMethod
from unsee.engine.methods.image_methods import robust_background, saliency_filters
from unsee.engine.methods.methods import open_method
from unsee.engine.methods.models import open_descender
from unsee.engine.methods.region_contrast import (
    Palette,
    Regions,
    contrast_of_regions,
    outer_regions,
    quantized,
    region_contrast,
    smoothed_by_color,
)
from unsee.engine.outputs.plan import read_plan
from unsee.engine.run_config import RunConfig
from unsee.engine.verify import faults
from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.graph.step import build_step
from unsee.export.runtime.descender import Descender, Descent
from unsee.export.runtime.model_info import ModelInfo
from unsee.kernels.color import rgb_to_lab
from unsee.kernels.pooling import superpixel_statistics
from unsee.kernels.slic import slic_lab
from unsee.tests import naive
from unsee.tests.export_models import checkpoint, export_classifier
from unsee.tests.export_models import images as random_images
from unsee.tests.runners import FunctionRunner
from unsee.train.networks.metadata import numbered_labels

RNG = np.random.default_rng(8)
SOURCES = Sources(("photographs",))


class StepDescender(Descender):
    """A session on a function from images to logits."""

    def __init__(self, network, classes, size, config):
        info = ModelInfo(f"step-{classes}", numbered_labels(classes), size, "test", "cpu")
        super().__init__(FunctionRunner(), info, config)
        self.step = build_step(network, config)
        self.seen = []

    def _descend(self, images, iterations, targets):
        self.seen.append(targets)
        start = image = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))
        reference, target = torch.zeros(len(images), len(self.info.labels)), torch.from_numpy(targets)
        for iteration in range(iterations):
            step_size = torch.tensor(self.config.step_at(iteration))
            image, reference, target, _ = self.step(image, reference, target, torch.tensor(iteration), step_size)
        return Descent((start - image).detach().numpy(), reference.detach().numpy(), target.numpy())


def config_of(method, **changes):
    return RunConfig(SOURCES, "out", method=method, **changes)


def random_network(classes, seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),
        torch.nn.Linear(128, classes),
    ).requires_grad_(False)  # fmt: skip


def test_worked_case_cc_06_gradient_of_a_linear_model():
    weights = 0.1 * torch.tensor([[1.0, 0, -1], [2, 0, 1]]).T.reshape(1, 3, 1, 2)

    def network(image):
        logit = (image[:, :, :1] * weights).sum((1, 2, 3))
        return torch.stack([logit, torch.zeros_like(logit)], 1)

    opened = {}

    def opener(model, descent, *rest, precision="auto"):
        return opened.setdefault("session", StepDescender(network, 2, 2, descent))

    method = open_method(config_of("gradient"), opener)
    assert isinstance(method, GradientMethod)
    images = np.array([[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [1, 2, 3]]]], np.uint8)
    computed = method.compute(images)
    np.testing.assert_allclose(abs(computed.delta[0, :, 0] / GRADIENT_STEP).max(0), [0.1, 0.2], rtol=1e-6)
    (detection,) = method.detections(computed, images)
    np.testing.assert_allclose(detection.raw[0], [0.5, 1], rtol=1e-6)
    assert detection.magnitude == pytest.approx(0.2)
    assert detection.target == 0


def test_gradient_is_autograds():
    network = random_network(5, 3)
    images = RNG.integers(0, 256, (3, 20, 20, 3), np.uint8)
    method = open_method(
        config_of("gradient"), lambda model, descent, *rest, **options: StepDescender(network, 5, 20, descent)
    )
    found = method.detections(method.compute(images), images)
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32)).requires_grad_()
    network(pixels).max(1).values.sum().backward()
    for place, detection in enumerate(found):
        expected = pixels.grad[place].abs().amax(0).numpy()
        np.testing.assert_allclose(detection.raw, expected / expected.max(), atol=1e-5)


def masked_method(**changes):
    config = config_of("a", preset=PRESETS["a-reference"], cnn2="2", cnn3="3", **changes)
    networks = {"1": (random_network(4, 1), 4), "2": (random_network(4, 2), 4), "3": (random_network(8, 3), 8)}

    def opener(model, descent, *rest, precision="auto"):
        return StepDescender(*networks.get(model, networks["1"]), 24, descent)

    return open_method(config, opener), config


def test_method_a_takes_the_class_from_cnn1_and_averages_the_others():
    method, _ = masked_method()
    assert isinstance(method, MaskedMethod)
    images = RNG.integers(0, 256, (3, 24, 24, 3), np.uint8)
    computed = method.compute(images)
    (two, first), (three, second) = method.masked
    assert (two.descender.config.cost, three.descender.config.cost) == ("masked", "masked")
    assert (first, second) == (0, 4)
    np.testing.assert_array_equal(computed.descents[0].targets, computed.recognition.targets)
    np.testing.assert_array_equal(computed.descents[1].targets, computed.recognition.targets + 4)
    found = method.detections(computed, images)
    for place, detection in enumerate(found):
        assert detection.target == computed.recognition.targets[place]
        single = method.detections(method.compute(images[place : place + 1]), images[place : place + 1])[0]
        np.testing.assert_array_equal(single.saliency, detection.saliency)
        assert detection.saliency.max() == 255


def test_method_a_without_masked_networks_is_cnn1s_own_map():
    config = config_of("a", preset=PRESETS["a-reference"])
    network = random_network(4, 1)
    method = open_method(config, lambda model, descent, *rest, **options: StepDescender(network, 4, 24, descent))
    images = RNG.integers(0, 256, (2, 24, 24, 3), np.uint8)
    computed = method.compute(images)
    assert computed.descents == [computed.recognition]
    assert method.recognizer.descender.config.cost == "log-prob"
    assert method.detections(computed, images)[0].saliency.max() == 255


def test_method_a_refuses_networks_that_do_not_fit():
    def opener(model, descent, *rest, precision="auto"):
        return StepDescender(random_network(4, 1), 4, 24, descent)

    with pytest.raises(UnseeError, match="cnn3 has 4 classes and input size 24; .* it must have 8 and 24"):
        open_method(config_of("a", cnn3="x"), opener)
    with pytest.raises(UnseeError, match="add --method a"):
        config_of("b", cnn2="x")


@pytest.mark.proof
def test_method_a_by_given_checkpoints_and_diverged_images(tiny_model):
    preset = PRESETS["a-paper"]
    config = config_of("a", preset=preset, model=str(tiny_model), cnn2=str(tiny_model), device="cpu")
    method = open_method(config, open_descender)
    images = RNG.integers(0, 256, (2, 48, 48, 3), np.uint8)
    computed = method.compute(images)
    assert "cnn2 squeezenet1_1" in method.info.model_id
    computed.descents[0].delta[0, 0, 0, 0] = np.nan
    first, second = method.detections(computed, images)
    assert first is None
    assert second is not None


def test_quantized_image_merges_rare_colours():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = [250, 10, 10]
    for number in range(12):
        image[number, 0] = [20 * number, 255, 255]
    palette = quantized(image)
    assert len(palette.counts) == 10  # the fewest colours that are kept
    assert palette.counts.sum() == 400
    np.testing.assert_array_equal(np.bincount(palette.indices.ravel()), palette.counts)


def test_contrast_of_two_regions_by_hand():
    labels = np.zeros((2, 4), int)
    labels[:, 2:] = 1
    palette = Palette(labels.copy(), np.array([[10.0, 0, 0], [40, 40, 0]]), np.array([4, 4]))
    contrast = contrast_of_regions(Regions(labels, np.array([4, 4]), np.zeros(2, bool)), palette)
    # Mean places (.5 / 4, .5 / 2) and (2.5 / 4, .5 / 2): 1/4 apart in squares. Distances from the centre by hand.
    near, offsets = np.exp(-0.25 / 0.4), [(1.5 / 4, 0.5 / 2), (0.5 / 4, 0.5 / 2)]
    expected = [np.exp(-9 * (x**2 + y**2)) * 4 * near * 50 for x, y in offsets]
    np.testing.assert_allclose(contrast, expected)


def test_colours_are_smoothed_by_their_nearest_in_colour():
    indices = np.array([[0, 1, 2]])
    palette = Palette(indices, np.array([[0.0, 0, 0], [10, 0, 0], [50, 0, 0]]), np.array([1, 1, 1]))
    # Two colours each: itself at distance 0 and the nearest one, so all weight T - d lies on itself.
    np.testing.assert_allclose(smoothed_by_color(np.array([[0.2, 0.4, 1.0]]), palette), [[0, 0.25, 1]])


def test_regions_along_the_border_are_outer():
    labels = np.zeros((60, 80), int)
    labels[20:40, 20:60] = 1
    labels[:4, :50] = 2
    assert outer_regions(labels).tolist() == [True, False, True]


@pytest.mark.parametrize("method", [region_contrast, saliency_filters, robust_background])
def test_baselines_find_the_odd_disk_and_survive_odd_images(method):
    disk = np.hypot(*(np.mgrid[:80, :80] - 40)) < 16
    image = np.where(disk[..., None], [210, 40, 40], [60, 120, 90]) + RNG.integers(-9, 10, (80, 80, 3))
    clutter = RNG.integers(0, 256, (80, 80, 3))
    flat = np.full((80, 80, 3), 77)
    maps = method(np.stack([image, clutter, flat]).astype(np.uint8))
    assert maps.shape == (3, 80, 80)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    assert maps.max() <= 1 + 1e-6
    assert maps[0][disk].mean() > maps[0][~disk].mean() + 0.4
    np.testing.assert_array_equal(maps[:1], method(image[None].astype(np.uint8)))
    assert method(np.zeros((0, 80, 80, 3), np.uint8)).shape == (0, 80, 80)


def test_methods_without_a_network_refuse_a_gpu():
    for options in ({"device": "cuda"}, {"backend": "onnxruntime"}):
        with pytest.raises(UnseeError, match="method rc runs no model, on the CPU"):
            config_of("rc", **options)
    with pytest.raises(UnseeError, match="method must be one of"):
        config_of("unknown")


def test_gradient_configuration_is_one_raw_signed_pass(tiny_model):
    method = open_method(config_of("gradient", model=str(tiny_model), device="cpu"), open_descender)
    once = method.batcher.descender.config
    assert once == DescentConfig(
        gradient="raw", gradient_floor=-np.inf, step=GRADIENT_STEP, step_decay=1.0, iterations=1
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_region_contrast_is_close_to_its_authors_maps(shared):
    from unsee.bench.scoring.metrics import MetricSums

    root = shared / "data/ecssd-dev"
    ours, theirs, correlations = MetricSums("cheng"), MetricSums("cheng"), []
    for path in sorted((root / "images").glob("*.jpg"))[::5]:
        mask = np.asarray(Image.open(root / "masks" / f"{path.stem}.png").convert("L"))
        given = next((root / "maps/RC").glob(f"{path.stem}*"))
        given = np.asarray(Image.open(given).convert("L").resize(mask.shape[::-1]))
        grid = np.asarray(Image.open(path).convert("RGB").resize((320, 320)))
        found = Image.fromarray(np.rint(region_contrast(grid[None])[0] * 255).astype(np.uint8))
        found = np.asarray(found.resize(mask.shape[::-1]))
        ours.update(found, mask)
        theirs.update(given, mask)
        correlations.append(np.corrcoef(found.ravel(), given.ravel())[0, 1])
    assert abs(ours.result().scores["maxfmeasure"] - theirs.result().scores["maxfmeasure"]) < 0.02
    assert np.nanmean(correlations) > 0.85


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Checkpoints of a CNN1, CNN2 and CNN3 for 3 classes, with random weights."""
    sizes = {"cnn1": 3, "cnn2": 3, "cnn3": 6}
    folder = tmp_path_factory.mktemp("networks")
    return {name: checkpoint(folder / name, "squeezenet1_1", classes, 48) for name, classes in sizes.items()}


@pytest.mark.proof
def test_method_a_and_segmentation_on_the_command_line(networks, photographs, tmp_path):
    options = [f"--{name}={folder}" for name, folder in networks.items()]
    for name, segment in (("one", "jaccard"), ("two", "jaccard")):
        command = ["run", str(photographs), "--output-folder", str(tmp_path / name), "--method", "a", *options]
        rest = ["--iterations", "2", "--segment", segment, "--refine", "ultrametric", "--device", "cpu"]
        result = CliRunner().invoke(app, [*command, *rest])
        assert result.exit_code == 0, result.output
    assert not list(faults(tmp_path / "one"))
    identity = read_plan(tmp_path / "one").identity
    assert (identity["name"], identity["descent"]["cost"], identity["post"]["closing"]) == (
        "a-reference",
        "log-prob",
        5,
    )
    assert "cnn3 squeezenet1_1" in identity["model"]
    images = sorted((tmp_path / "one").rglob("*.png"))
    assert len(images) == 24
    for path in images:
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.proof
def test_method_a_through_a_bundle_gives_the_maps_of_the_checkpoint(networks, tmp_path):
    pytest.importorskip("onnxruntime")
    preset = replace(PRESETS["a-reference"], descent=replace(PRESETS["a-reference"].descent, iterations=3))
    export_classifier(str(networks["cnn2"]), tmp_path / "bundle", replace(preset.descent, cost="masked"))
    images, cnn1 = random_images(4, 48), str(networks["cnn1"])

    def found(cnn2):
        config = RunConfig(SOURCES, "out", model=cnn1, method="a", cnn2=str(cnn2), preset=preset, device="cpu")
        method = open_method(config, open_descender)
        return method.detections(method.compute(images), images)

    for one, other in zip(found(networks["cnn2"]), found(tmp_path / "bundle"), strict=True):
        assert one.target == other.target
        difference = abs(one.saliency.astype(int) - other.saliency)
        assert (difference <= 2).mean() > 0.98


def test_saliency_filters_are_the_formulas():
    image = RNG.integers(0, 256, (1, 5, 6, 3), np.uint8).repeat(10, 1).repeat(10, 2)
    lab = rgb_to_lab(image)
    labels = slic_lab(lab, 200, 20.0)
    statistics = superpixel_statistics(lab, labels)
    values = naive.saliency_filter(statistics.color[0].astype(float), statistics.position[0].astype(float))
    np.testing.assert_allclose(saliency_filters(image)[0], values[labels[0]], atol=1e-5)
