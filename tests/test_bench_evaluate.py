"""Evaluation of folders: pairing, resizing, unreadable files, reports."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from unsee.bench.scoring import score_tables as reports
from unsee.bench.scoring.claims import ResultFiles
from unsee.bench.scoring.evaluate import evaluate, evaluate_toolkit
from unsee.bench.scoring.greys import read_map, read_mask
from unsee.bench.scoring.metrics import MetricSums
from unsee.bench.scoring.resize import resize_to
from unsee.bench.scoring.score_tables import results_table
from unsee.bench.scoring.scored_files import EvaluationConfig
from unsee.errors import DeviceUnavailableError, MissingExtraError, UnseeError

RNG = np.random.default_rng(10)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path):
    """Five masks; five maps, of which one is damaged, one has another size and one has no mask."""
    for index in range(5):
        mask = np.zeros((20, 30), np.uint8)
        mask[4 : 10 + index, 5:20] = 255
        save(tmp_path / f"gt/{index}.png", mask)
        if index < 4:
            save(tmp_path / f"pred/{index}.png", RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    save(tmp_path / "pred/1.png", RNG.integers(0, 256, (7, 9), dtype=np.uint8))
    (tmp_path / "pred/2.png").write_bytes((tmp_path / "pred/2.png").read_bytes()[:60])
    save(tmp_path / "pred/other.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "pred/00000.parquet").write_bytes(b"no image")
    return tmp_path


def test_scores_what_can_be_scored_and_lists_the_rest(folders):
    result = evaluate(folders / "pred", folders / "gt")
    sums = MetricSums()
    for index in (0, 1, 3):
        mask = read_mask(folders / f"gt/{index}.png").pixels
        sums.update(resize_to(read_map(folders / f"pred/{index}.png").pixels, mask.shape, "opencv"), mask)
    assert result.metrics.scores == sums.result().scores
    assert (result.metrics.images, result.missing, result.extra, result.complete) == (3, ("4",), 1, False)
    assert [key for key, _ in result.unreadable] == ["2"]
    assert (result.metrics.protocol, result.resize, result.metrics.empty_masks) == ("pysod", "opencv", 0)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_workers_change_nothing(folders, workers):
    one = evaluate(folders / "pred", folders / "gt", EvaluationConfig(workers=1))
    many = evaluate(folders / "pred", folders / "gt", EvaluationConfig(workers=workers))
    assert many.as_json() == one.as_json()


def test_leaves_rows_curves_and_json(folders):
    files = {"per_image": folders / "rows.parquet", "curves": folders / "curves.png", "json": folders / "result.json"}
    result = evaluate(
        folders / "pred", folders / "gt", EvaluationConfig(metrics=("mae", "fmeasure")), files=ResultFiles(**files)
    )
    rows = pq.read_table(files["per_image"]).to_pylist()
    assert [(row["key"], row["status"]) for row in rows] == [
        ("0", "success"),
        ("1", "success"),
        ("2", "failed_to_decode"),
        ("3", "success"),
        ("4", "missing"),
    ]
    assert np.mean([row["mae"] for row in rows if row["mae"] is not None]) == pytest.approx(
        result.metrics.scores["mae"]
    )
    assert (rows[1]["height"], rows[1]["width"]) == (20, 30)
    assert Image.open(files["curves"]).size == (1200, 540)
    saved = json.loads(files["json"].read_text())
    assert saved["config"]["protocol"] == "pysod"
    assert saved["results"][0]["scores"] == result.metrics.scores
    assert len(saved["results"][0]["curves"]["fmeasure"]) == 256
    assert not list(folders.glob(".*.tmp"))


def test_the_first_rows_may_all_be_failures(folders, monkeypatch):
    monkeypatch.setattr(reports, "ROWS_PER_GROUP", 1)
    (folders / "pred/0.png").write_bytes(b"nothing")
    result = evaluate(folders / "pred", folders / "gt", files=ResultFiles(folders / "rows.parquet"))
    maes = [row["mae"] for row in pq.read_table(folders / "rows.parquet").to_pylist()]
    assert (maes[0], maes[2], maes[4]) == (None, None, None)
    assert np.mean([maes[1], maes[3]]) == pytest.approx(result.metrics.scores["mae"])


def test_all_files_may_be_damaged(folders):
    for index in (0, 1, 3):
        (folders / f"pred/{index}.png").write_bytes(b"nothing")
    result = evaluate(folders / "pred", folders / "gt", files=ResultFiles(folders / "rows.parquet"))
    assert result.metrics.images == 0
    assert {row["status"] for row in pq.read_table(folders / "rows.parquet").to_pylist()} == {
        "failed_to_decode",
        "missing",
    }


def test_names_are_taken_with_their_folder_where_they_repeat(tmp_path):
    for folder in ("a", "b"):
        save(tmp_path / f"gt/{folder}/1.png", np.full((4, 4), 255, np.uint8))
        save(tmp_path / f"pred/{folder}/1.jpg", np.full((4, 4), 255 if folder == "a" else 0, np.uint8))
    result = evaluate(tmp_path / "pred", tmp_path / "gt", EvaluationConfig(metrics=("mae",)))
    assert (result.metrics.images, result.metrics.scores["mae"]) == (2, 0.5)


@pytest.mark.parametrize(
    ("pred", "gt", "message"),
    [
        ("pred", "nowhere", "is not a folder"),
        ("gt", "empty", "no map has the name of a mask"),
        ("twice", "gt", "which one"),
    ],
)
def test_folders_that_do_not_fit_are_one_clear_error(folders, pred, gt, message):
    (folders / "empty").mkdir()
    save(folders / "twice/1.png", np.zeros((2, 2), np.uint8))
    save(folders / "twice/1.bmp", np.zeros((2, 2), np.uint8))
    with pytest.raises(UnseeError, match=message):
        evaluate(folders / pred, folders / gt)


@pytest.mark.parametrize(
    "wrong", [{"protocol": "x"}, {"metrics": ("x",)}, {"metrics": ()}, {"resize": "x"}, {"workers": 0}, {"device": "x"}]
)
def test_a_wrong_configuration_is_refused(wrong):
    with pytest.raises(UnseeError):
        EvaluationConfig(**wrong)


def test_a_gpu_is_not_taken_where_there_is_none(monkeypatch):
    cuda = SimpleNamespace(is_available=lambda: False)
    monkeypatch.setattr("unsee.bench.scoring.scored_files.load_cuda", lambda: cuda)
    assert EvaluationConfig(device="auto").device == "cpu"
    with pytest.raises(DeviceUnavailableError, match="no CUDA device"):
        EvaluationConfig(device="cuda")
    cuda.is_available = lambda: True
    assert EvaluationConfig(device="auto").device == EvaluationConfig(device="cuda").device == "cuda"
    assert EvaluationConfig().device == "cpu"


def test_numba_cuda_may_be_absent(monkeypatch):
    def absent():
        raise MissingExtraError("computing on a GPU needs numba-cuda")

    monkeypatch.setattr("unsee.bench.scoring.scored_files.load_cuda", absent)
    assert EvaluationConfig(device="auto").device == "cpu"
    with pytest.raises(MissingExtraError):
        EvaluationConfig(device="cuda")


def test_reads_the_toolkits_files(folders):
    for index in range(5):
        save(folders / f"maps/m_{index}_s.png", RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    (folders / "d.json").write_text(json.dumps({"SET": {"mask": {"path": "gt", "suffix": ".png"}}, "OTHER": {}}))
    entry = {"path": str(folders / "maps"), "prefix": "m_", "suffix": "_s.png"}
    (folders / "m.json").write_text(json.dumps({"M": {"SET": entry, "UNKNOWN": entry}, "N": {"SET": {"path": "pred"}}}))
    first, second = evaluate_toolkit(folders / "d.json", folders / "m.json")
    assert (first.method, first.dataset, first.metrics.images, first.complete) == ("M", "SET", 5, True)
    assert (second.method, second.metrics.images, second.missing) == ("N", 3, ("4",))
    assert [r.method for r in evaluate_toolkit(folders / "d.json", folders / "m.json", methods=["N"])] == ["N"]
    with pytest.raises(UnseeError, match="does not name X; it names M, N"):
        evaluate_toolkit(folders / "d.json", folders / "m.json", methods=["X"])
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(results_table([first, second]))
    text = console.export_text()
    assert "protocol pysod" in text and f"{first.metrics.scores['mae']:.3f}" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_a_damaged_json_file_is_one_clear_error(tmp_path, content):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UnseeError, match=r"d\.json"):
        evaluate_toolkit(tmp_path / "d.json", tmp_path / "d.json")


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((24, 24), (30, 41)),
        ((24, 24), (11, 9)),
        ((5, 1), (9, 4)),
        ((1, 1), (4, 5)),
        ((40, 30), (20, 15)),
        ((9, 9), (9, 9)),
    ],
)
def test_resizes_as_opencv_does(shape, target):
    cv2 = pytest.importorskip("cv2")
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    expected = cv2.resize(pixels, target[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_to(pixels, target, "opencv"), expected)


def test_resizes_as_pillow_does():
    pixels = RNG.integers(0, 256, (24, 20), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((7, 9), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize_to(pixels, (9, 7), "pillow"), expected)


def test_reads_other_modes_as_grey(tmp_path):
    save(tmp_path / "deep.png", np.array([[0, 256, 65535]], np.uint16))
    save(tmp_path / "colour.png", np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8))
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert read_map(tmp_path / "deep.png").pixels.tolist() == [[0, 1, 255]]
    assert read_map(tmp_path / "colour.png").pixels.tolist() == [[255, 76]]
    assert read_map(tmp_path / "bits.png").pixels.tolist() == [[255, 0]]
