"""The Python interface."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import unsee
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.detector import FailedItemError, Saliency
from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.models import open_mapper
from unsee.engine.run import run
from unsee.engine.run_config import RunConfig
from unsee.engine.segmentation.segment_config import SegmentConfig
from unsee.tests.map_models import SIZE, map_checkpoint

QUICK = replace(PRESETS["reference"], descent=replace(PRESETS["reference"].descent, iterations=2))


@pytest.fixture(scope="module")
def detector(tiny_model):
    return unsee.Detector(tiny_model, preset=QUICK, device="cpu", batch_size=3)


def test_path_picture_and_array_give_the_same(detector, photographs):
    path = photographs / "03.png"
    picture = Image.open(path)
    results = [detector(path), detector(str(path)), detector(picture), detector(np.asarray(picture))]
    for result in results:
        assert result.map.shape == (picture.height, picture.width)
        assert result.map.dtype == np.uint8
        assert result.raw.shape == (48, 48)
        np.testing.assert_array_equal(result.map, results[0].map)
        assert (result.label, result.score) == (results[0].label, results[0].score)


def test_batches_equal_single_images(detector, photographs):
    paths = sorted(photographs.rglob("*.png"))
    assert len(paths) > detector.batch_size
    for path, result in zip(paths, detector(paths), strict=True):
        assert (abs(result.map.astype(int) - detector(path).map) <= 1).mean() > 0.99


def test_array_with_four_dimensions_is_a_batch(detector):
    images = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 3), np.uint8)
    assert [result.map.shape for result in detector(images)] == [(20, 30)] * 2
    assert detector([]) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((3, 4, 3), 2.0), "values from 0 to 1, got 2 to 2"),
        (np.zeros((3, 4, 2), np.uint8), "an array must be uint8"),
        (np.zeros((0, 4, 3), np.uint8), "an array must be uint8"),
        ("nowhere.jpg", "nowhere.jpg: cannot be read"),
        ([3], "expected a path, bytes, a PIL image, an array or a tensor, got int"),
    ],
)
def test_unusable_images_are_user_errors(detector, image, message):
    with pytest.raises(unsee.UnseeError, match=message):
        detector(image)


def test_damaged_file_names_itself(detector, tmp_path):
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(unsee.UnseeError, match=r"image 0: .*bad.png: "):
        detector(tmp_path / "bad.png")


def test_a_bad_item_comes_after_the_good_ones_before_it_and_names_itself(detector, photographs, tmp_path):
    good, other = photographs / "01.png", photographs / "03.png"
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:80])
    for bad, words in [
        (tmp_path / "no.png", "no.png: cannot be read"),
        (tmp_path / "cut.png", "cut.png: "),
        (str(tmp_path), "is a folder"),
        ("a\0b.png", "cannot be read"),
        (None, "got NoneType"),
        (b"bytes", "not an image of a supported format"),
        (Image.open(tmp_path / "cut.png"), "cannot be decoded"),
        (np.zeros((3, 4, 2), np.uint8), "an array must be"),
    ]:
        stream = detector.stream(iter([good, bad, other]))
        np.testing.assert_array_equal(next(stream).map, detector(good).map)
        with pytest.raises(FailedItemError, match=words) as error:
            next(stream)
        assert error.value.index == 1
        assert error.value.path == (str(bad) if isinstance(bad, (str, type(good))) else None)
        results = detector([good, bad, other, bad], on_error="return")
        assert [type(result) for result in results] == [Saliency, FailedItemError] * 2
        np.testing.assert_array_equal(results[2].map, detector(other).map)
        assert results[3].index == 3
        with pytest.raises(unsee.UnseeError, match="image 1"):
            detector([good, bad])


def test_what_the_iterable_raises_comes_after_the_images_before(detector, photographs):
    def images():
        for _ in range(detector.batch_size + 1):
            yield photographs / "01.png"
        raise ConnectionError("the camera is gone")

    for on_error in ("raise", "return"):
        results = []
        with pytest.raises(ConnectionError, match="the camera is gone"):
            for result in detector.stream(images(), on_error):
                results.append(result)
        assert len(results) == detector.batch_size + 1


def test_a_diverged_image_is_named(detector, photographs, monkeypatch):
    found = detector.method.detections
    monkeypatch.setattr(detector.method, "detections", lambda *batch: [*found(*batch)[:-1], None])
    results = detector([photographs / "01.png", photographs / "03.png"], on_error="return")
    assert (results[1].index, results[1].path) == (1, str(photographs / "03.png"))
    assert "left the range" in results[1].reason
    with pytest.raises(FailedItemError, match="image 0: .*01.png: the map left"):
        detector(photographs / "01.png")


@pytest.mark.parametrize("images", [None, 3])
def test_what_is_no_image_is_a_user_error(detector, images):
    with pytest.raises(unsee.UnseeError, match="expected a path, a PIL image, an array, or several"):
        detector(images)
    with pytest.raises(unsee.UnseeError, match="on_error must be one of"):
        detector([], on_error="ignore")


def test_constant_image_gives_a_finite_map(detector):
    assert detector(np.full((9, 5, 3), 80, np.uint8)).map.shape == (9, 5)


@pytest.mark.proof
def test_saliency_is_a_short_cut(tiny_model, photographs):
    result = unsee.saliency(photographs / "03.png", str(tiny_model), device="cpu")
    assert result.map.any()


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = unsee.nothing


def test_attentional_network_and_promoter(detector, tiny_model, photographs, tmp_path):
    model = map_checkpoint(tmp_path / "attentional", "attentional")
    promoter = map_checkpoint(tmp_path / "promoter", "promoter")
    picture = Image.open(photographs / "03.png").convert("RGB")
    pixels = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))[None]
    found = unsee.Detector(model, device="cpu")(picture)
    np.testing.assert_array_equal(found.raw, open_mapper(str(model)).maps(pixels)[0])
    assert found.map.shape == (picture.height, picture.width) and found.label is None

    lifted = unsee.Detector(tiny_model, preset=QUICK, device="cpu", promote=promoter)(picture)
    plain = detector(picture)
    assert lifted.label == plain.label and lifted.map.shape == plain.map.shape
    on_its_grid = np.asarray(_finished(detector, picture), np.float32)[None] / 255
    np.testing.assert_array_equal(lifted.raw, open_mapper(str(promoter)).maps(pixels, on_its_grid)[0])


def _finished(detector, picture):
    """The finished map on the detector's own grid, resized to the promoter's."""
    small = np.asarray(picture.resize((48, 48), Image.Resampling.BILINEAR))[None]
    (found,) = detector.method.detections(detector.method.compute(small), small)
    return Image.fromarray(found.saliency).resize((SIZE, SIZE), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("method", ["rc", "rbd", pytest.param("gradient", marks=pytest.mark.proof), "a"])
def test_every_method_of_the_command_line_gives_its_maps(method, tiny_model, photographs, tmp_path):
    model = {} if method in ("rc", "rbd") else {"model": str(tiny_model), "device": "cpu"}
    preset = PRESETS["a-reference"] if method == "a" else QUICK
    preset = replace(preset, descent=replace(preset.descent, iterations=2))
    config = RunConfig(Sources((str(photographs),)), str(tmp_path), method=method, preset=preset, **model)
    assert run(config).failed == 0
    with unsee.Detector(method=method, preset=preset, **model) as detector:
        for path in sorted(photographs.rglob("*.png"))[:3]:
            made = np.asarray(Image.open((tmp_path / path.relative_to(photographs)).with_suffix(".png")))
            np.testing.assert_array_equal(detector(path).map, made)


def test_a_detector_cuts_masks(photographs):
    found = unsee.Detector(method="rbd", segment=SegmentConfig("jaccard"))(photographs / "03.png")
    assert found.mask is not None and found.mask.shape == found.map.shape
    assert set(np.unique(found.mask)) <= {0, 255}
    assert unsee.Detector(method="rbd")(photographs / "03.png").mask is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method must be one of"),
        ({"method": "rbd", "weights": "vgg16.pth"}, "leave --weights out"),
        ({"method": "rbd", "device": "cuda"}, "runs no model"),
        ({"cnn2": "somewhere"}, "belong to method a"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options, message):
    with pytest.raises(unsee.UnseeError, match=message):
        unsee.Detector(**options)
