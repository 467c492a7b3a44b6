"""Training of classifiers: what is trained, resumed trainings, figures, and several processes."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unsee.cli.trainings import app
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.methods import open_method
from unsee.engine.methods.models import open_descender
from unsee.engine.run_config import RunConfig
from unsee.errors import UnseeError
from unsee.tests.killing import at_save, killed_after_saving
from unsee.train.batches.classifier_config import ClassifierConfig
from unsee.train.batches.samples import SampleReader, examination_batches, load, resized, training_batches
from unsee.train.classifiers import examine, optimizer_of, start_of, train_classifier
from unsee.train.curves import as_markdown, error_table
from unsee.train.data.scenes import scenes
from unsee.train.loop import rate_at
from unsee.train.networks.checkpoints import load_checkpoint
from unsee.train.networks.metadata import InputSpec

CLASSES = ("a", "b", "c")


@pytest.fixture
def config(tmp_path, tiny_model):
    return ClassifierConfig(
        training="scenes:24:1", validation="scenes:10:2", output=tmp_path / "out",
        start=str(tiny_model), epochs=2, batch=8, learning_rate=0.01,
        threads=1, save_every=2, device="cpu",
    )  # fmt: skip


def weights_of(classifier):
    return {name: value.numpy() for name, value in classifier.module.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(("variant", "samples"), [("cnn1", 5), ("cnn2", 5), ("cnn3", 10)])
def test_every_sample_comes_once_an_epoch_in_an_order_of_its_own(config, variant, samples):
    config = replace(config, variant=variant, batch=4)
    first, second = (training_batches(5, config, epoch) for epoch in (0, 1))
    for batches in (first, second):
        numbers = [number for batch in batches for number, _ in batch]
        assert len(set(numbers)) == len(numbers) == samples
        assert {number % 2 for number in numbers} == {"cnn1": {0}, "cnn2": {1}, "cnn3": {0, 1}}[variant]
    assert first != second
    assert first == training_batches(5, config, 0)
    assert {seed for batch in examination_batches(5, config) for _, seed in batch} == {-1}


def test_samples_are_masked_and_named_as_the_variant_says(config):
    data, spec = scenes(2, 7), InputSpec(size=96)
    whole, masked = (SampleReader(data, replace(config, variant="cnn3"), spec)[number, -1] for number in (0, 1))
    scene = data.items[0].read()
    np.testing.assert_array_equal(whole[0].permute(1, 2, 0).numpy(), scene.pixels)
    inside = scene.objects >= 0
    assert (masked[0].permute(1, 2, 0).numpy()[inside] == [124, 116, 104]).all()
    assert masked[1] == whole[1] + len(data.classes)
    assert SampleReader(data, replace(config, variant="cnn2"), spec)[1, -1][1] == whole[1]


def test_augmentation_follows_from_its_seed():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    crops = [resized(pixels, 24, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()
    assert resized(pixels, 24, None).shape == (24, 24, 3)


@pytest.mark.parametrize(("variant", "outputs"), [("cnn1", 3), ("cnn2", 3), ("cnn3", 6)])
def test_start_keeps_all_but_the_last_layer(config, tiny_model, variant, outputs):
    started = start_of(replace(config, variant=variant), CLASSES)
    source = weights_of(load_checkpoint(tiny_model))
    for name, value in weights_of(started).items():
        if name.startswith("classifier.1."):
            assert value.shape[0] == outputs
        else:
            np.testing.assert_array_equal(value, source[name])
    names = [label.name for label in started.labels]
    masked = ["masked a", "masked b", "masked c"]
    assert names == {"cnn1": ["a", "b", "c"], "cnn2": masked, "cnn3": ["a", "b", "c", *masked]}[variant]


def test_random_start_and_input_size(config):
    started = start_of(replace(config, start="random:tiny_darknet", input_size=64), CLASSES)
    assert (started.metadata.network, started.metadata.input.size, started.metadata.classes) == ("tiny_darknet", 64, 3)


@pytest.mark.parametrize(("finetune", "factors"), [("all", [1, 1]), ("last-faster", [10, 1]), ("last-only", [1])])
def test_fine_tuning_methods(config, finetune, factors):
    config = replace(config, finetune=finetune, weight_decay=0.25, momentum=0.5)
    started = start_of(config, CLASSES)
    started.module.requires_grad_(True)
    optimizer = optimizer_of(started.module, started.metadata.network, config)
    assert [group["factor"] for group in optimizer.param_groups] == factors
    assert {(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups} == {(0.5, 0.25)}
    trained = [name for name, value in started.module.named_parameters() if value.requires_grad]
    last = ["classifier.1.weight", "classifier.1.bias"]
    assert (trained == last) == (finetune == "last-only")


def test_only_the_last_layer_moves_where_only_it_is_trained(config, tiny_model):
    trained, source = weights_of(train_classifier(replace(config, finetune="last-only"))), load_checkpoint(tiny_model)
    for name, value in weights_of(source).items():
        if not name.startswith("classifier.1."):
            np.testing.assert_array_equal(trained[name], value)


def test_learning_rate_schedules():
    rates = {name: [rate_at(name, 0.01, at) for at in (0, 0.5, 0.99)] for name in ("constant", "steps")}
    assert rates["constant"] == [0.01] * 3
    np.testing.assert_allclose(rates["steps"], [0.01, 0.001, 0.0001])
    np.testing.assert_allclose([rate_at("cosine", 0.01, at) for at in (0, 0.5, 1)], [0.01, 0.005, 0], atol=1e-12)


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_killed_and_resumed_training_gives_the_same_bits(config, tmp_path, saves):
    undisturbed = weights_of(train_classifier(replace(config, output=tmp_path / "undisturbed")))
    with killed_after_saving(at_save(saves)):
        train_classifier(config)
    assert not (config.output / "model.json").exists()
    assert_same(weights_of(train_classifier(config)), undisturbed)
    finished = weights_of(train_classifier(config))  # nothing is left to do
    assert_same(finished, undisturbed)


def test_reading_processes_do_not_matter(config, tmp_path):
    alone = weights_of(train_classifier(replace(config, epochs=1)))
    helped = weights_of(train_classifier(replace(config, epochs=1, workers=2, output=tmp_path / "helped")))
    assert_same(alone, helped)


def test_other_settings_are_refused(config):
    train_classifier(replace(config, epochs=1))
    with pytest.raises(UnseeError, match="other settings"):
        train_classifier(replace(config, epochs=1, seed=4))


def test_errors_are_counted_as_defined(config):
    reader = SampleReader(scenes(8, 3), config, InputSpec(size=96))
    nodes = torch.cat([nodes for _, nodes in load(reader, examination_batches(8, config), 0)])

    class Oracle(torch.nn.Module):
        """Ranks node (right + shift) % 8 first, the next one second, and so on."""

        def __init__(self, shift):
            super().__init__()
            self.shift, self.done = shift, 0

        def forward(self, image):
            here = nodes[self.done : self.done + len(image)]
            self.done += len(image)
            return -((torch.arange(8)[None] - here[:, None] - self.shift) % 8).float()

    device = torch.device("cpu")
    assert examine(Oracle(0), reader, config, device) == {"top-1": 0, "top-5": 0}
    assert examine(Oracle(4), reader, config, device) == {"top-1": 1, "top-5": 0}
    assert examine(Oracle(3), reader, config, device) == {"top-1": 1, "top-5": 1}


@pytest.mark.proof
def test_command_leaves_checkpoint_figures_and_curves(config, tiny_model, tmp_path):
    options = ["--training", "scenes:16:1", "--validation", "scenes:8:2", "--start", str(tiny_model), "--epochs", "2"]
    for variant in ("cnn1", "cnn2", "cnn3"):
        output = ["--output", str(tmp_path / variant), "--variant", variant, "--threads", "1", "--device", "cpu"]
        result = CliRunner().invoke(app, ["classifier", *options, *output])
        assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "cnn3/curves.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert (tmp_path / "cnn3/curves.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((tmp_path / "cnn3/figures.json").read_text())
    assert figures["top-1"] == float(rows[-1]["top-1"])
    table = error_table([tmp_path / "cnn1", tmp_path / "cnn3"])
    assert table[0] == ["data", "error", "CNN1 all", "CNN3 all"]
    assert table[1][3] == f"{100 * figures['top-1']:.1f}%"
    assert as_markdown(table).splitlines()[1] == "|---|---|---|---|"
    shown = CliRunner().invoke(app, ["table", str(tmp_path / "cnn1"), "--markdown"])
    assert shown.output.startswith("| data | error | CNN1 all |")
    run = RunConfig(Sources(("x",)), "out", model=str(tmp_path / "cnn1"), method="a", cnn2=str(tmp_path / "cnn2"),
                    cnn3=str(tmp_path / "cnn3"), preset=PRESETS["a-reference"], device="cpu")  # fmt: skip
    method = open_method(run, open_descender)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)
    found = method.detections(method.compute(images), images)
    assert all(detection.label in dict.fromkeys(scenes(1).classes) for detection in found)


@pytest.mark.parametrize(
    "wrong", [{"variant": "cnn4"}, {"finetune": "none"}, {"epochs": 0}, {"momentum": 1.0}, {"fill": "x"}]
)
def test_configuration_is_checked(config, wrong):
    with pytest.raises(UnseeError):
        replace(config, **wrong)


def test_data_sets_must_fit(config, tmp_path):
    with pytest.raises(UnseeError, match="no images with masks"):
        train_classifier(replace(config, validation=f"folder:{tmp_path}"))
    with pytest.raises(UnseeError, match="not a trained classifier"):
        error_table([tmp_path])


TOGETHER = """
import sys, torch
from pathlib import Path
from unsee.train import classifiers
from unsee.train.batches.classifier_config import ClassifierConfig

def without_dropout(*arguments, build=classifiers.build_network):
    network = build(*arguments)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network

classifiers.build_network = without_dropout
config = ClassifierConfig(training="scenes:14:1", validation="scenes:4:2", output=Path(sys.argv[2]),
    start=sys.argv[1], epochs=1, batch=4, learning_rate=0.01, threads=1, device="cpu", variant="cnn3")
classifiers.train_classifier(config)
"""


@pytest.mark.proof
def test_two_processes_train_as_one_does(tiny_model, tmp_path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    alone = [sys.executable, script, tiny_model, tmp_path / "alone"]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(alone, check=True, capture_output=True)
    result = subprocess.run([*two, script, tiny_model, tmp_path / "two"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    one, other = (weights_of(load_checkpoint(tmp_path / name)) for name in ("alone", "two"))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)
