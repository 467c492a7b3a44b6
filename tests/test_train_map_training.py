"""Training of promoters and attentional networks: samples, losses, resumed trainings, commands."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unsee.bench.scoring.metrics import score_pair
from unsee.bench.scoring.protocols import find_protocol
from unsee.cli.trainings import app
from unsee.errors import UnseeError
from unsee.tests.killing import at_save, killed_after_saving
from unsee.train.batches.image_mask_pairs import Pair, open_pairs, resized
from unsee.train.batches.map_training_config import MapTrainingConfig, default_options
from unsee.train.data.catalogue import open_dataset
from unsee.train.first_stage import FirstStage
from unsee.train.map_scores import adaptive_f_measure, mean_absolute_error
from unsee.train.map_training import losses_of, optimizer_of, start_of, train_map_network
from unsee.train.networks.maps.backbones import Backbone

TINY = {
    "promoter": {"channels": 4, "embedding": 6, "grid": 4},
    "attentional": {"widths": (16, 8, 8), "recurrent": 8, "grid": 4},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Ten images of different sizes with a bright ellipse and its mask, and blurred priors of them."""
    folder = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    for name in ("images", "masks", "priors"):
        (folder / name).mkdir()
    for number in range(10):
        height, width = 40 + 3 * number, 61 - number
        rows, columns = np.mgrid[:height, :width]
        row, column = random.uniform(0.3, 0.7, 2) * (height, width)
        inside = ((rows - row) / 12) ** 2 + ((columns - column) / 9) ** 2 < 1
        pixels = random.integers(0, 120, (height, width, 3)) + 130 * inside[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"images/{number}.png")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / f"masks/{number}.png")
        small = Image.fromarray(inside.astype(np.uint8) * 255).resize((6, 5))
        small.resize((width, height), Image.Resampling.BILINEAR).save(folder / f"priors/{number}.png")
    return folder


@pytest.fixture(params=["promoter", "attentional"])
def config(request, pairs, tmp_path):
    return MapTrainingConfig(
        kind=request.param, training=(f"folder:{pairs}#0-6",), output=tmp_path / "out",
        validation=f"folder:{pairs}#6-10", start="random:unsee_small", input_size=32,
        options=TINY[request.param], epochs=2, batch=2, threads=1, save_every=2, device="cpu",
        priors=(pairs / "priors",), prior_share=0.5, vary_colors=True,
    )  # fmt: skip


@pytest.fixture
def promoter_config(pairs, tmp_path):
    return MapTrainingConfig(
        kind="promoter", training=(f"folder:{pairs}",), output=tmp_path / "out", start="random:unsee_small", input_size=32,
        options=TINY["promoter"], threads=1,
    )  # fmt: skip


def weights_of(loaded):
    return {name: value.numpy() for name, value in loaded.mapper.network.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_parts_of_one_order_share_no_image_and_leave_none_out(pairs):
    whole = {item.key for item in open_dataset(f"folder:{pairs}").items}
    parts = [[item.key for item in open_dataset(f"folder:{pairs}#{part}").items] for part in ("0-50%", "50-100%")]
    assert [len(part) for part in parts] == [5, 5]
    assert set(parts[0]) | set(parts[1]) == whole
    assert [item.key for item in open_dataset(f"folder:{pairs}#0-5").items] == parts[0]
    others = [[item.key for item in open_dataset(f"folder:{pairs}#0-10@{seed}").items] for seed in (0, 1)]
    assert others[0] == parts[0] + parts[1]
    assert others[0] != others[1]
    with pytest.raises(UnseeError, match="images 5 to 11, but there are 10"):
        open_dataset(f"folder:{pairs}#5-11")


def test_labels_flip_with_their_probability_and_each_image_by_itself(promoter_config):
    reader = open_pairs(promoter_config.training, replace(promoter_config, input_size=256, flip=0.2, augment=False))
    flipped = []
    for place in ((0, 5), (0, 6), (1, 7)):
        _, labels, weights = reader[place]
        assert set(weights.unique().tolist()) <= {0, 255}
        flipped.append((weights > 0) != (labels > 0))
        assert float(flipped[-1].float().mean()) == pytest.approx(0.2, abs=0.01)
    for one, other in ((0, 1), (0, 2)):  # independent: both wrong at .04 of the pixels
        assert float((flipped[one] & flipped[other]).float().mean()) == pytest.approx(0.04, abs=0.01)
    again = reader[0, 5]
    assert all(torch.equal(one, other) for one, other in zip(again, reader[0, 5], strict=True))


def test_without_augmentation_a_sample_is_the_resized_image(promoter_config, pairs):
    reader = open_pairs(promoter_config.training, replace(promoter_config, flip=0.0, augment=False))
    pixels, labels, weights = reader[3, 17]
    with Image.open(pairs / "images/3.png") as image, Image.open(pairs / "masks/3.png") as mask:
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
        inside = np.asarray(mask.resize((32, 32), Image.Resampling.NEAREST)) > 0
    np.testing.assert_array_equal(pixels.permute(1, 2, 0), expected)
    np.testing.assert_array_equal(labels[0], inside)
    np.testing.assert_array_equal(weights, labels * 255)


def test_crops_and_mirrors_keep_image_labels_and_prior_together():
    rows, columns = np.mgrid[:40, :80]
    pattern = (3 * columns + 0 * rows).astype(np.uint8)
    pair = Pair(np.repeat(pattern[..., None], 3, 2), pattern > 120, pattern)
    whole, mirrored = (resized(pair, 80, None, flag) for flag in (False, True))
    np.testing.assert_array_equal(whole.prior, pattern[0][None].repeat(80, 0))
    np.testing.assert_array_equal(mirrored.prior, whole.prior[:, ::-1])
    np.testing.assert_array_equal(mirrored.salient, mirrored.pixels[..., 0] > 120)
    crop = resized(pair, 40, (0.25, 0.0, 0.75, 1.0), False)
    np.testing.assert_array_equal(crop.prior[0], pattern[0, 20:60])
    np.testing.assert_array_equal(crop.pixels[..., 1], crop.prior)
    np.testing.assert_array_equal(crop.salient, crop.prior > 120)


def test_priors_stand_for_flipped_labels_in_their_share(promoter_config, pairs):
    config = replace(promoter_config, priors=(pairs / "priors",), prior_share=0.5)
    reader = open_pairs(config.training, config)
    soft = [len(reader[2, seed][2].unique()) > 2 for seed in range(60)]
    assert 0.3 < np.mean(soft) < 0.7
    assert len(reader[2, -1][2].unique()) > 2  # examined with the prior
    with Image.open(pairs / "priors/2.png") as image:
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(reader[2, -1][2][0], expected)
    (pairs / "priors/9.png").rename(pairs / "priors/9.hidden")
    with pytest.raises(UnseeError, match="1 images lack a prior map, such as 9"):
        open_pairs(config.training, config)
    (pairs / "priors/9.hidden").rename(pairs / "priors/9.png")


def test_the_loss_is_that_of_the_clean_labels(promoter_config):
    mapper = start_of(promoter_config).eval()
    pixels, labels = torch.randint(0, 256, (2, 3, 32, 32)), torch.randint(0, 2, (2, 1, 32, 32))
    weights = torch.randint(0, 256, (2, 1, 32, 32))
    losses = losses_of(mapper, mapper.network, (pixels, labels, weights), torch.device("cpu"))
    maps = mapper(pixels.float(), weights / 255).double().detach().numpy()
    t = labels.numpy()
    expected = -(t * np.log(maps) + (1 - t) * np.log(1 - maps)).mean((1, 2, 3)).sum()
    assert float(losses.detach()) == pytest.approx(expected, rel=1e-5)


def test_backbone_has_a_rate_of_its_own(promoter_config):
    mapper = start_of(promoter_config)
    groups = optimizer_of(mapper.network, replace(promoter_config, learning_rate=1e-3, backbone_rate=1e-4)).param_groups
    assert [group["factor"] for group in groups] == pytest.approx([1, 0.1])
    assert sum(len(group["params"]) for group in groups) == len(list(mapper.network.parameters()))
    (group,) = optimizer_of(mapper.network, replace(promoter_config, backbone_rate=0.0)).param_groups
    frozen = [name for name, value in mapper.network.named_parameters() if not value.requires_grad]
    assert frozen == [name for name, _ in mapper.network.named_parameters() if name.startswith("backbone.")]
    assert len(frozen) + len(group["params"]) == len(list(mapper.network.parameters()))


def test_it_starts_from_a_classifiers_convolutions(promoter_config, tiny_model):
    mapper = start_of(replace(promoter_config, start=str(tiny_model)))
    assert mapper.metadata.backbone == "squeezenet1_1"
    assert mapper.metadata.input.size == 32
    with pytest.raises(UnseeError, match="no backbone"):
        start_of(replace(promoter_config, start="random:resnet18"))


@pytest.mark.parametrize("saves", [1, 3])
def test_killed_and_resumed_training_gives_the_same_bits(config, tmp_path, saves):
    undisturbed = weights_of(train_map_network(replace(config, output=tmp_path / "undisturbed")))
    with killed_after_saving(at_save(saves)):
        train_map_network(config)
    assert not (config.output / "model.json").exists()
    assert_same(weights_of(train_map_network(config)), undisturbed)
    with pytest.raises(UnseeError, match="other settings"):
        train_map_network(replace(config, flip=0.1))


def test_the_first_stage_trains_the_backbone_and_resumes(promoter_config, tmp_path):
    config = replace(promoter_config, epochs=1, first_stage_epochs=2, batch=5, learning_rate=0.01)
    undisturbed = weights_of(train_map_network(replace(config, output=tmp_path / "undisturbed")))
    without = weights_of(train_map_network(replace(config, output=tmp_path / "without", first_stage_epochs=0)))
    name = "backbone.features.0.conv.weight"
    assert abs(undisturbed[name] - without[name]).max() > 1e-4
    with killed_after_saving(lambda path, state: path.parent.name == "first-stage" and state["epoch"] == 1):
        train_map_network(config)
    assert_same(weights_of(train_map_network(config)), undisturbed)


@pytest.mark.parametrize("name", ["unsee_small", "squeezenet1_1", "vgg16"])
def test_the_first_stage_predicts_at_the_inputs_size(name):
    stage = FirstStage(Backbone(name, dilated=True))
    assert stage(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 32, 32)


def test_a_promoter_learns_to_sharpen_blurred_maps(pairs, tmp_path):
    config = MapTrainingConfig(
        kind="promoter", training=(f"folder:{pairs}",), output=tmp_path / "out", validation=f"folder:{pairs}",
        start="random:unsee_small",
        input_size=64, options=TINY["promoter"], epochs=15, batch=5, threads=1, learning_rate=0.01,
        priors=(pairs / "priors",), device="cpu",
    )  # fmt: skip
    train_map_network(config)
    rows = list(csv.DictReader((tmp_path / "out/curves.csv").open()))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    assert figures["F"] == float(rows[-1]["F"]) > 0.7
    assert figures["images"] == {"training": 10, "validation": 10}


def test_scores_are_those_of_the_evaluation():
    random = np.random.default_rng(0)
    maps = random.integers(0, 256, (3, 1, 14, 9), np.uint8)
    labels = random.integers(0, 2, (3, 1, 14, 9), np.uint8)
    maps[1], labels[2] = 7, 0
    tensors = torch.from_numpy(maps).double() / 255, torch.from_numpy(labels).double()
    errors, measures = mean_absolute_error(*tensors), adaptive_f_measure(*tensors)
    for index in range(3):
        scores = score_pair(maps[index, 0], labels[index, 0] * 255, find_protocol("lps"), ("mae", "fmeasure")).numbers
        assert float(errors[index]) == pytest.approx(scores["mae"])
        assert float(measures[index]) == pytest.approx(scores["adpfmeasure"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "x"}, {"preset": "default"}, {"training": ()}, {"epochs": 0}, {"learning_rate": 0.0}, {"flip": 0.5},
        {"smallest_crop": 0.95}, {"prior_share": 0.5}, {"backbone_rate": -1.0}, {"first_stage_epochs": -1},
    ],
)  # fmt: skip
def test_configuration_is_checked(promoter_config, wrong):
    with pytest.raises(UnseeError):
        replace(promoter_config, **wrong)


def test_constants_follow_from_the_backbone():
    assert default_options("promoter", "vgg16", {}).grid == 1
    assert default_options("promoter", "squeezenet1_1", {"embedding": 32}).embedding == 32
    assert default_options("attentional", "vgg16", {}).widths == (256, 128, 64, 64)
    with pytest.raises(UnseeError, match="attentional has no embedding"):
        default_options("attentional", "vgg16", {"embedding": 32})


@pytest.mark.parametrize("kind", ["promoter", "attentional"])
def test_commands_leave_checkpoint_figures_and_curves(kind, pairs, tmp_path):
    own = ["--channels", "4", "--embedding", "6", "--priors", str(pairs / "priors")]
    options = [
        "--training", f"folder:{pairs}#0-4", "--validation", f"folder:{pairs}#4-6", "--output", str(tmp_path / "net"),
        "--start", "random:unsee_small", "--input-size", "32", "--epochs", "1", "--batch", "2", "--threads", "1",
        "--device", "cpu", *(own if kind == "promoter" else ["--deep-supervision"]),
    ]  # fmt: skip
    result = CliRunner().invoke(app, [kind, *options])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "net/model.json").read_text())["kind"] == kind
    assert (tmp_path / "net/curves.png").read_bytes().startswith(b"\x89PNG")
    (row,) = csv.DictReader((tmp_path / "net/curves.csv").open())
    assert 0 <= float(row["MAE"]) <= 1
