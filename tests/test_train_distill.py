"""Distillation on generated pictures with tiny random teachers: its parts against slower twins, and a killed training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.sparse.csgraph import shortest_path
from skimage.color import rgb2lab
from typer.testing import CliRunner

from unsee.cli.trainings import app
from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.graph.step import PixelClassifier, build_step
from unsee.train import distillation_data, loop
from unsee.train.batches.distillation_config import CELL, DistillConfig
from unsee.train.data.random_backgrounds import geodesic, lab, object_map
from unsee.train.distill import distill, divergence, schedule
from unsee.train.distillation_data import (
    Lessons,
    class_order,
    draw_batch,
    is_held_out,
    list_photographs,
    on_pixels,
    random_boxes,
)
from unsee.train.input_gradient import change_map, descend
from unsee.train.networks.architectures.unsee_small import UnseeSmall, folded
from unsee.train.networks.checkpoints import Classifier, load_checkpoint, save_checkpoint
from unsee.train.networks.metadata import InputSpec, Label, Metadata
from unsee.train.networks.preprocessing import Preprocessing
from unsee.train.networks.zoo import build_network
from unsee.train.training_state import load_state

LABELS = tuple(Label(f"thing {index}", f"n{index:08d}") for index in range(5))


def _disc(size: int = 64, seed: int = 0) -> np.ndarray:
    """Return a picture uint8 [size,size,3]: a reddish disc somewhere on a noisy greenish ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    center = random.uniform(0.35, 0.65, 2)
    inside = (y - center[0]) ** 2 + (x - center[1]) ** 2 < 0.2**2
    color = np.where(inside[..., None], (200, 60, 40), (60, 110, 70)) + random.normal(0, 6, (size, size, 3))
    return color.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two random classifiers whose classes come in different orders and whose inputs differ."""
    folder = tmp_path_factory.mktemp("teachers")
    specs = {"squeezenet1_1": InputSpec(48, "BGR", 255, (104, 117, 123), (1, 1, 1)), "unsee_small": InputSpec(40)}
    for seed, (network, spec) in enumerate(specs.items()):
        torch.manual_seed(seed)
        labels = LABELS if network == "squeezenet1_1" else LABELS[::-1]
        classifier = Classifier(
            build_network(network, len(labels)).eval(), Metadata(network, spec, len(labels)), labels
        )
        save_checkpoint(folder / network, classifier)
    return [folder / network for network in specs]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(6):
        Image.fromarray(_disc(seed=index)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all trainings keep their lessons, so that equal ones are computed once."""
    return tmp_path_factory.mktemp("lessons")


@pytest.fixture
def config(teachers: list[Path], photographs: Path, lessons: Path, tmp_path: Path) -> DistillConfig:
    for name in ("student", "again"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lessons").symlink_to(lessons)
    return DistillConfig(
        images=(photographs,), teachers=tuple(teachers), output=tmp_path / "student",
        side=32, input_size=40, crops=2, held_out=0.3, batch=2,
        epochs=3, precision="float32", save_every=1,
    )  # fmt: skip


def test_killed_training_resumes_to_the_same_weights(config: DistillConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = distill(config)
    saves = 0
    save_state = loop.save_state

    def killed_after_two_saves(path: Path, state: dict[str, object]) -> None:
        nonlocal saves
        save_state(path, state)
        saves += 1
        if saves < 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_state", killed_after_two_saves)
    again = replace(config, output=config.output.with_name("again"))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            distill(again)
    resumed = distill(again)
    assert saves > 3
    for (name, expected), actual in zip(
        whole.module.state_dict().items(), resumed.module.state_dict().values(), strict=True
    ):
        assert torch.equal(expected, actual), name


def test_student_checkpoint_is_complete(config: DistillConfig, photographs: Path) -> None:
    student = distill(config)
    loaded = load_checkpoint(config.output)
    assert loaded.metadata == student.metadata
    assert loaded.metadata.input.size == 40
    assert loaded.labels == LABELS
    assert "random initialisation by distillation" in loaded.metadata.provenance["origin"]
    withheld = [path for path in list_photographs([photographs]) if is_held_out(path, 0.3)]
    assert loaded.metadata.provenance["figures"]["held out"] == len(withheld)
    pixels = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        assert torch.allclose(loaded.module(pixels), student.module(pixels), rtol=1e-2, atol=1e-2)  # stored as float16


def test_other_settings_do_not_resume(config: DistillConfig) -> None:
    distill(replace(config, epochs=1))
    with pytest.raises(UnseeError, match="other settings"):
        distill(replace(config, epochs=1, seed=1))


def test_damaged_state_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "training.pt").write_bytes(b"no state")
    with pytest.raises(UnseeError, match="not a training state"):
        load_state(tmp_path / "training.pt", "")
    assert load_state(tmp_path / "absent.pt", "") is None


def test_command_trains(config: DistillConfig) -> None:
    options = [f"--teacher={teacher}" for teacher in config.teachers]
    options += [f"--images={config.images[0]}", f"--output={config.output}", "--crops=1", "--float32"]
    result = CliRunner().invoke(app, ["distill", *options, "--epochs=1"])
    assert result.exit_code == 0, result.output
    assert load_checkpoint(config.output).metadata.network == "unsee_small"


@pytest.mark.parametrize(
    "wrong", [{"side": 30}, {"held_out": 1.0}, {"crops": 0}, {"epochs": 0}, {"teachers": ()}], ids=str
)
def test_impossible_settings(config: DistillConfig, wrong: dict[str, object]) -> None:
    with pytest.raises(UnseeError):
        replace(config, **wrong)  # pyright: ignore[reportArgumentType]


def test_folding_keeps_the_outputs() -> None:
    network = UnseeSmall(7, batch_norm=True)
    for _ in range(3):  # moves the running statistics away from 0 and 1
        network(torch.randn(4, 3, 48, 48))
    image = torch.randn(2, 3, 48, 40)
    plain = folded(network)
    assert not plain.training
    assert torch.allclose(network.eval()(image), plain(image), atol=1e-5)
    assert plain.state_dict().keys() == UnseeSmall(7).state_dict().keys()


def test_network_is_within_its_limits() -> None:
    assert sum(parameter.numel() for parameter in UnseeSmall().parameters()) <= 1_300_000


@pytest.mark.parametrize("network", ["squeezenet1_1", "unsee_small"])
def test_descent_is_the_exported_one(teachers: list[Path], network: str) -> None:
    classifier = load_checkpoint(next(path for path in teachers if path.name == network))
    size = classifier.metadata.input.size
    pixels = torch.from_numpy(np.stack([_disc(size, seed) for seed in range(2)])).permute(0, 3, 1, 2).float()
    step = build_step(PixelClassifier(classifier.module, classifier.metadata.input), DescentConfig())
    image, reference, target = pixels, torch.zeros(2, len(LABELS)), torch.full((2,), -1)
    for iteration in range(2):
        image, reference, target, _ = step(image, reference, target, torch.tensor(iteration), torch.tensor(20.0))
    edited = descend(on_pixels(classifier), pixels, 2, 20.0)
    difference, change = edited - image, pixels - image
    assert difference.norm() < 0.02 * change.norm()  # the step counts from the least gradient, which is 0 nearly always


def test_change_map_scales_each_channel() -> None:
    original = torch.zeros(1, 3, 1, 2)
    edited = -torch.tensor([[[[0.0, 4.0]], [[3.0, 1.0]], [[5.0, 5.0]]]])
    assert change_map(original, edited).tolist() == [[[pytest.approx(1 / 3), pytest.approx(1 / 3)]]]


def test_lab_is_that_of_scikit_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = rgb2lab(pixels)
    assert np.allclose(
        lab(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0), expected, atol=0.05
    )


def test_geodesic_is_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    length = np.where(random.random((2, 9, 9)) < 0.4, random.uniform(0.1, 5, (2, 9, 9)), np.inf)
    length = np.minimum(length, length.transpose(0, 2, 1))
    expected = np.stack([shortest_path(np.where(np.isinf(one), 0, one)) for one in length])
    assert np.allclose(geodesic(torch.from_numpy(length)), expected)


def test_object_map_finds_the_disc_under_noisy_saliency() -> None:
    picture = _disc(80)
    inside = torch.from_numpy(picture[..., 0] > 130)
    saliency = 0.3 * inside + torch.rand(80, 80, generator=torch.Generator().manual_seed(0))
    found = object_map(torch.from_numpy(picture).permute(2, 0, 1)[None].float(), saliency[None], 20)
    wanted = torch.nn.functional.adaptive_avg_pool2d(inside[None, None].float(), 20)[0, 0] > 0.5
    both = ((found[0] > 0.5) & wanted).sum() / ((found[0] > 0.5) | wanted).sum()
    assert both > 0.8
    assert found.min() == 0
    assert found.max() == pytest.approx(1, abs=1e-6)


def test_object_map_of_a_constant_image_is_finite() -> None:
    assert object_map(torch.full((1, 3, 40, 40), 9.0), torch.zeros(1, 40, 40), 20).isfinite().all()


def test_classes_match_by_wnid() -> None:
    assert class_order(LABELS[::-1], LABELS) == [4, 3, 2, 1, 0]
    with pytest.raises(UnseeError, match="5 and 4, 1 unmatched"):
        class_order(LABELS[:4], LABELS)


def test_boxes_lie_within_the_image_and_never_change() -> None:
    boxes = random_boxes("name.jpg", 20)
    assert boxes == random_boxes("name.jpg", 20)
    assert boxes[0] == (0, 0, 1, 1)
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert (right - left) * (bottom - top) >= 0.29


def test_a_batch_keeps_image_and_map_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation_data, "vary_colors", lambda pixels, _: pixels)
    random = np.random.default_rng(0)
    maps = random.integers(1, 256, (4, 2, 6, 6))
    crops = np.broadcast_to(maps.repeat(CELL, 2).repeat(CELL, 3)[:, :, None], (4, 2, 3, 48, 48)).astype(np.uint8)
    lessons = Lessons(crops, np.ones((4, 2, 5), np.float16), maps.astype(np.float16))
    batch = draw_batch(lessons, torch.arange(4), 32, torch.Generator().manual_seed(0))
    assert batch.pixels.shape == (4, 3, 32, 32)
    assert torch.equal(batch.pixels[:, 0, ::CELL, ::CELL], batch.maps)


def test_divergence_is_zero_only_for_equal_distributions() -> None:
    wanted = torch.tensor([[0.2, 0.8], [0.0, 1.0]])
    assert divergence(wanted, torch.tensor([[0.2, 0.8], [1e-30, 1.0]]).log()).item() == pytest.approx(0, abs=1e-7)
    expected = (0.2 * np.log(0.4) + 0.8 * np.log(1.6) + np.log(2)) / 2
    assert divergence(wanted, torch.full((2, 2), 0.5).log()).item() == pytest.approx(expected, rel=1e-6)


def test_schedule_rises_and_falls_to_zero() -> None:
    assert schedule(0.0) == 0
    assert schedule(0.05) == pytest.approx(1, abs=0.01)
    assert schedule(1.0) == pytest.approx(0, abs=1e-9)


def test_preprocess_reverses_channels() -> None:
    pixels = torch.tensor([10.0, 20.0, 30.0]).reshape(1, 3, 1, 1)
    spec = InputSpec(1, "BGR", 255, (1, 2, 3), (2, 2, 2))
    assert Preprocessing(spec)(pixels).flatten().tolist() == pytest.approx([14.5, 9.0, 3.5])


def test_no_photographs(tmp_path: Path) -> None:
    with pytest.raises(UnseeError, match="no photographs in"):
        list_photographs([tmp_path])
