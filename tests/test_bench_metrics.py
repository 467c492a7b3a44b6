"""Metrics against worked cases, PySODMetrics, published values and plain twins."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from unsee.bench.scoring.metrics import METRICS, MetricSums
from unsee.bench.scoring.protocols import PROTOCOLS
from unsee.errors import UnseeError
from unsee.tests import naive

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import py_sod_metrics

RNG = np.random.default_rng(9)
CC_20 = np.array([[255, 128], [64, 0]], np.uint8), np.array([[255, 0], [255, 0]], np.uint8)


def scores_of(pairs, protocol="pysod", metrics=METRICS):
    sums = MetricSums(protocol, metrics)
    for prediction, mask in pairs:
        sums.update(prediction, mask)
    return sums.result()


def reference_of(pairs):
    """What PySODMetrics makes of the same pairs, under our names; its curves run over falling thresholds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        handlers = {
            "iou": py_sod_metrics.IOUHandler(True, True, with_binary=True),
            "dice": py_sod_metrics.DICEHandler(True, True, with_binary=True),
        }
        meters = [
            py_sod_metrics.Fmeasure(),
            py_sod_metrics.MAE(),
            py_sod_metrics.Emeasure(),
            py_sod_metrics.Smeasure(),
            py_sod_metrics.WeightedFmeasure(),
            py_sod_metrics.FmeasureV2(handlers),
        ]
        found = {}
        for meter in meters:
            for prediction, mask in pairs:
                meter.step(prediction, mask)
            found |= meter.get_results()
    curves = {
        "fmeasure": found["fm"]["curve"],
        "em": found["em"]["curve"],
        "precision": found["pr"]["p"],
        "recall": found["pr"]["r"],
        "iou": found["iou"]["dynamic"],
        "dice": found["dice"]["dynamic"],
    }
    numbers = {"mae": found["mae"], "sm": found["sm"], "wfm": found["wfm"]}
    numbers |= {"adpfmeasure": found["fm"]["adp"], "adpem": found["em"]["adp"]}
    for name in ("iou", "dice"):
        numbers |= {f"adp{name}": found[name]["adaptive"], f"bin{name}": found[name]["binary"]}
    for name, curve in curves.items():
        numbers |= {f"max{name}": curve.max(), f"avg{name}": curve.mean()}
    return {name: curve[::-1] for name, curve in curves.items()}, numbers


def assert_equals_reference(pairs, tolerance=1e-9):
    result, (curves, numbers) = scores_of(pairs), reference_of(pairs)
    for name, curve in curves.items():
        np.testing.assert_allclose(result.curves[name], curve, rtol=tolerance, atol=tolerance, err_msg=name)
    for name, number in numbers.items():
        if np.isnan(number):  # the reference divides by an empty quadrant of a one-pixel-wide image
            assert name == "sm" and 0 <= result.scores[name] <= 1
            continue
        assert result.scores[name] == pytest.approx(number, rel=tolerance, abs=tolerance), name


def random_pair(height, width, levels=256):
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2 + 1, width // 3 : 2 * width // 3 + 1] = 255
    noise = RNG.integers(0, levels, (height, width))
    return (noise // 2 + mask.astype(int) // 4).astype(np.uint8), mask


def test_worked_case_cc_20():
    result = scores_of([CC_20], metrics=("mae", "fmeasure"))
    for span, precision, recall, f_measure in (
        (np.s_[:1], 0.5, 1, 0.5652173913),
        (np.s_[1:65], 2 / 3, 1, 0.7222222222),
        (np.s_[65:129], 0.5, 0.5, 0.5),
        (np.s_[129:], 1, 0.5, 0.8125),
    ):
        np.testing.assert_allclose(result.curves["precision"][span], precision)
        np.testing.assert_allclose(result.curves["recall"][span], recall)
        np.testing.assert_allclose(result.curves["fmeasure"][span], f_measure)
    assert result.scores["maxfmeasure"] == pytest.approx(0.8125)
    assert result.scores["adpfmeasure"] == pytest.approx(0.8125)
    assert result.scores["mae"] == pytest.approx(0.3127450980)


@pytest.mark.parametrize(
    "pair",
    [
        random_pair(37, 52),
        random_pair(40, 9, levels=6),
        random_pair(1, 30),
        random_pair(23, 1),
        (np.full((9, 12), 255, np.uint8), random_pair(9, 12)[1]),
        (np.full((9, 12), 100, np.uint8), random_pair(9, 12)[1]),
        (np.zeros((9, 12), np.uint8), random_pair(9, 12)[1]),
        (random_pair(9, 12)[0], np.zeros((9, 12), np.uint8)),
        (random_pair(9, 12)[0], np.full((9, 12), 255, np.uint8)),
        (np.zeros((9, 12), np.uint8), np.zeros((9, 12), np.uint8)),
        (random_pair(12, 15)[1], random_pair(12, 15)[1]),
        (random_pair(12, 15)[0] // 13 + 100, random_pair(12, 15)[1]),
        (random_pair(12, 15)[0], random_pair(12, 15)[1] // 255 * 129),
    ],
    ids=lambda pair: f"{pair[0].shape}",
)
def test_equals_pysodmetrics_on_odd_pairs(pair):
    assert_equals_reference([pair])


def test_equals_pysodmetrics_on_photographs(shared):
    folder = shared / "data/ecssd-dev"
    paths = sorted((folder / "maps/RC").glob("*.png"))[:100]
    assert len(paths) == 100
    assert_equals_reference([grey_pair(path, folder / "masks" / path.name) for path in paths])


def test_equals_pysodmetrics_on_its_own_pairs(shared):
    """The metrics of the folder's expected.json (cm, ccm) are others than ours; the reference itself is run instead."""
    folder = shared / "data/metric-oracles/pysodmetrics"
    assert_equals_reference([grey_pair(path, folder / "masks" / path.name) for path in (folder / "preds").iterdir()])


def grey_pair(*paths):
    return tuple(np.asarray(Image.open(path).convert("L")) for path in paths)


@pytest.mark.parametrize("method", ["DSS", "Amulet"])
def test_equals_published_values_per_image(shared, method):
    folder = shared / "data/metric-oracles/sod"
    published = json.loads((folder / "expected.json").read_text())["methods"][method]
    assert len(published) == 38
    for name, expected in published.items():
        pair = grey_pair(folder / "maps" / method / f"{name}.png", folder / "masks" / f"{name}.png")
        result = scores_of([pair], "sal-eval")
        assert result.scores["mae"] == pytest.approx(expected["MAE"], abs=1e-6)
        np.testing.assert_allclose(result.curves["precision"][::-1], expected["precision_at_255_down_to_0"], atol=1e-6)
        np.testing.assert_allclose(result.curves["recall"][::-1], expected["recall_at_255_down_to_0"], atol=1e-6)
        adaptive = [result.scores[name] for name in ("adpprecision", "adprecall", "adpfmeasure")]
        np.testing.assert_allclose(adaptive, expected["adaptive_P_R_F"], atol=1e-6)


def test_cheng_averages_first_and_calls_nothing_precise():
    pairs = [random_pair(20, 30), (np.full((4, 5), 7, np.uint8), random_pair(4, 5)[1]), random_pair(11, 7, levels=40)]
    result = scores_of(pairs, "cheng", ("fmeasure", "mae"))
    curves, errors = [], []
    for prediction, mask in pairs:
        stretched = np.rint(naive.min_max(prediction.astype(float)) * 255)
        precision, recall, _ = naive.threshold_curves(stretched, mask > 128, range(256))
        precision[[not (stretched >= threshold).any() for threshold in range(256)]] = 1
        curves.append([precision, recall])
        errors.append(abs(stretched / 255 - (mask > 128)).mean())
    precision, recall = np.mean(curves, axis=0)
    f_measure = 1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-300)
    np.testing.assert_allclose(result.curves["precision"], precision, rtol=1e-9)
    np.testing.assert_allclose(result.curves["fmeasure"], f_measure, rtol=1e-9)
    assert result.scores["maxfmeasure"] == pytest.approx(f_measure.max())
    assert result.scores["mae"] == pytest.approx(np.mean(errors))


def test_cheng_rounds_as_opencv_does():
    cv2 = pytest.importorskip("cv2")
    for lowest in range(0, 250, 7):
        for highest in range(lowest + 1, 256, 5):
            levels = np.arange(lowest, highest + 1, dtype=np.uint8)[None]
            expected = cv2.normalize(levels, None, 0, 255, cv2.NORM_MINMAX)[0]
            np.testing.assert_array_equal(PROTOCOLS["cheng"].keys(lowest, highest)[lowest : highest + 1], expected)


def test_lps_takes_21_thresholds_and_any_mask_level():
    pairs = [random_pair(20, 30), random_pair(13, 9)]
    pairs[0][1][0, 0] = 1  # above 0: foreground
    result = scores_of(pairs, "lps", ("fmeasure", "mae"))
    curves, adaptive, errors = [], [], []
    for prediction, mask in pairs:
        values, inside = naive.min_max(prediction.astype(float)), mask != 0
        curves.append(naive.threshold_curves(values, inside, np.linspace(0, 1, 21))[:2])
        adaptive.append(naive.threshold_curves(values, inside, [min(1, 2 * values.mean())])[2][0])
        errors.append(abs(values - inside).mean())
    np.testing.assert_allclose([result.curves["precision"], result.curves["recall"]], np.mean(curves, 0), rtol=1e-9)
    assert result.scores["adpfmeasure"] == pytest.approx(np.mean(adaptive))
    assert result.scores["mae"] == pytest.approx(np.mean(errors))
    assert result.headline == "adpfmeasure"


def some_pairs():
    """Maps that see most of their masks; the third one is black, the fourth mask empty."""
    rng = np.random.default_rng(3)
    masks = [np.uint8(255) * (rng.random((9, 11)) < share) for share in (0.3, 0.6, 0.4, 0.0)]
    maps = [(rng.integers(0, 120, mask.shape) + mask // 2).astype(np.uint8) for mask in masks]
    maps[2][:] = 0
    return list(zip(maps, masks, strict=True))


def curves_by_definition(pairs, for_nothing, beta_squared):
    """F of each image at the thresholds 0, 1/255, ... 254/255, which values must exceed: [B, 255]."""
    curves = []
    for saliency, mask in pairs:
        values, inside = saliency / 255, mask > 128
        curve = []
        for step in range(255):
            found = values > step / 255
            right = (found & inside).sum()
            precision = right / found.sum() if found.any() else for_nothing
            recall = right / inside.sum() if inside.any() else for_nothing
            divisor = beta_squared * precision + recall
            curve.append((1 + beta_squared) * precision * recall / divisor if divisor else 0)
        curves.append(curve)
    return np.array(curves)


def test_selfmask_takes_the_best_of_every_image_and_squares_twice():
    result = scores_of(some_pairs(), "selfmask")
    expected = curves_by_definition(some_pairs(), 0, 0.09).max(1).mean()
    assert result.headline == "imagemaxfmeasure"
    assert result.scores[result.headline] == pytest.approx(expected, abs=1e-6)
    mae = np.mean([np.abs(saliency / 255 - (mask > 128)).mean() for saliency, mask in some_pairs()])
    assert result.scores["mae"] == pytest.approx(mae)


def test_tokencut_takes_the_best_point_of_the_mean_curve_and_calls_nothing_precise():
    result = scores_of(some_pairs(), "tokencut")
    curve = curves_by_definition(some_pairs(), 1, 0.3).mean(0)
    np.testing.assert_allclose(result.curves["fmeasure"], curve, atol=1e-12)
    assert result.scores[result.headline] == pytest.approx(curve.max())


def test_merged_sums_equal_one_sum():
    pairs = [random_pair(14, 11 + index) for index in range(7)] + [(random_pair(5, 5)[0], np.zeros((5, 5), np.uint8))]
    whole = scores_of(pairs)
    parts = MetricSums("pysod", METRICS)
    for chunk in (pairs[:3], [], pairs[3:4], pairs[4:]):
        part = MetricSums("pysod", METRICS)
        for pair in chunk:
            part.update(*pair)
        parts.merge(part)
    merged = parts.result()
    assert (merged.images, merged.empty_masks) == (8, 1)
    assert merged.scores == pytest.approx(whole.scores, rel=1e-12)
    for name, curve in whole.curves.items():
        np.testing.assert_allclose(merged.curves[name], curve, rtol=1e-12)


def test_only_sums_of_the_same_kind_merge():
    with pytest.raises(ValueError, match="do not add"):
        MetricSums("pysod").merge(MetricSums("cheng"))


def test_image_max_is_the_mean_of_the_images_own_best():
    pairs = [random_pair(20, 30), random_pair(13, 9)]
    best = [
        naive.threshold_curves((naive.min_max(p / 255) * 255).astype(np.uint8), m > 128, range(256))[2].max()
        for p, m in pairs
    ]
    assert scores_of(pairs, metrics=("fmeasure",)).scores["imagemaxfmeasure"] == pytest.approx(np.mean(best))


def test_refuses_unknown_names_and_shapes_that_differ():
    with pytest.raises(UnseeError, match="choose one of pysod, cheng, lps"):
        MetricSums("pysodd")
    with pytest.raises(UnseeError, match="unknown metrics"):
        MetricSums("pysod", ("mea",))
    with pytest.raises(ValueError, match="must both be uint8"):
        MetricSums().update(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_no_images_give_no_numbers():
    assert MetricSums().result().scores == {}
    assert MetricSums().result().images == 0
